// Sums over samples and their gradients on the CPU. Compiled with -DVIDGAP_KERNELS=<name> for every
// instruction set; all but that name is local to the file, so that the linker mixes nothing.
#include "ms_deform_attn/cpu_kernels.h"

#include <initializer_list>
#include <type_traits>
#include <utility>

#include "ms_deform_attn/cpu_samples.h"

#ifndef VIDGAP_KERNELS
#define VIDGAP_KERNELS kKernelsBaseline
#endif

namespace vidgap::ms_deform_attn {
namespace {

constexpr int kMostVectors = 4;  // of a pixel's channels, held in registers at a time

// out[0..N) of a query: its samples' corners, weighted. Two sums, so that neither is a long chain.
template <typename T, int N>
inline void gather(const Samples<T>& samples, int64_t begin, const T* plane, int64_t padded,
                   T* out) {
  Vector<T> upper[N] = {}, lower[N] = {};
  for (int64_t s = begin; s < begin + samples.per_query; ++s) {
    const auto* top = reinterpret_cast<const Vector<T>*>(plane + samples.corner[s] * padded);
    const auto* bottom =
        reinterpret_cast<const Vector<T>*>(plane + (samples.corner[s] + samples.row[s]) * padded);
    const int64_t right = padded / kLanes<T>;
    for (int n = 0; n < N; ++n) {
      upper[n] += samples.share[0][s] * top[n];
      lower[n] += samples.share[2][s] * bottom[n];
      upper[n] += samples.share[1][s] * top[right + n];
      lower[n] += samples.share[3][s] * bottom[right + n];
    }
  }
  for (int n = 0; n < N; ++n) reinterpret_cast<Vector<T>*>(out)[n] = upper[n] + lower[n];
}

// The lanes of a and b, one after the other, that kLane names.
template <typename T, size_t... kLane>
inline Vector<T> pick(Vector<T> a, Vector<T> b) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, kLane...);
#else
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef Index Indices __attribute__((vector_size(VIDGAP_VECTOR_BYTES)));
  return __builtin_shuffle(a, b, Indices{kLane...});
#endif
}

// Halves of every segment of kSegment lanes, added: a's and b's segments alternate in the result.
template <typename T, int kSegment, size_t... kLane>
inline Vector<T> fold(Vector<T> a, Vector<T> b, std::index_sequence<kLane...>) {
  constexpr int half = kSegment / 2, lanes = sizeof...(kLane);
  constexpr auto first = [](int lane) {
    return static_cast<size_t>(lane / kSegment * kSegment + lane % half +
                               (lane % kSegment < half ? 0 : lanes));
  };
  return pick<T, first(kLane)...>(a, b) + pick<T, (first(kLane) + half)...>(a, b);
}

// Lane i of the result is the sum of the lanes of vectors[i]; `vectors` is overwritten.
template <typename T, int kSegment = kLanes<T>>
inline Vector<T> sum_each(Vector<T>* vectors) {
  if constexpr (kSegment == 1) {
    return vectors[0];
  } else {
    for (int i = 0; i < kSegment / 2; ++i)
      vectors[i] = fold<T, kSegment>(vectors[i], vectors[i + kSegment / 2],
                                     std::make_index_sequence<kLanes<T>>{});
    return sum_each<T, kSegment / 2>(vectors);
  }
}

// Adds the samples' shares of `grad` (queries, padded) to grad_plane, and to dots the products of
// grad and corners, over N vectors of channels. As many samples at a time as fill one vector of
// dots.
template <typename T, int N>
void scatter(const Samples<T>& samples, const T* grad, const T* plane, int64_t padded,
             T* grad_plane, T* const* dots) {
  constexpr int kGroup = kLanes<T> < 4 ? 1 : kLanes<T> / 4;
  const int64_t right = padded / kLanes<T>;
  for (int64_t begin = 0; begin < samples.count; begin += kGroup) {
    Vector<T> products[4 * kGroup];
    for (int j = 0; j < kGroup; ++j) {
      const int64_t s = begin + j;
      const auto* g = reinterpret_cast<const Vector<T>*>(grad + samples.query[s] * padded);
      const int64_t corner = samples.corner[s] * padded, below = samples.row[s] * padded;
      const auto* top = reinterpret_cast<const Vector<T>*>(plane + corner);
      const auto* bottom = reinterpret_cast<const Vector<T>*>(plane + corner + below);
      auto* top_grad = reinterpret_cast<Vector<T>*>(grad_plane + corner);
      auto* bottom_grad = reinterpret_cast<Vector<T>*>(grad_plane + corner + below);
      Vector<T> d0 = {}, d1 = {}, d2 = {}, d3 = {};
      for (int n = 0; n < N; ++n) {
        d0 += g[n] * top[n];
        d1 += g[n] * top[right + n];
        d2 += g[n] * bottom[n];
        d3 += g[n] * bottom[right + n];
        top_grad[n] += samples.share[0][s] * g[n];
        top_grad[right + n] += samples.share[1][s] * g[n];
        bottom_grad[n] += samples.share[2][s] * g[n];
        bottom_grad[right + n] += samples.share[3][s] * g[n];
      }
      products[j] = d0;
      products[kGroup + j] = d1;
      products[2 * kGroup + j] = d2;
      products[3 * kGroup + j] = d3;
    }
    if constexpr (kLanes<T> < 4) {
      for (int k = 0; k < 4; ++k)
        for (int i = 0; i < kLanes<T>; ++i) dots[k][begin] += products[k][i];
    } else {
      const Vector<T> sums = sum_each<T>(products);
      for (int k = 0; k < 4; ++k)
        for (int j = 0; j < kGroup; ++j) dots[k][begin + j] += sums[k * kGroup + j];
    }
  }
}

// Calls run(vectors, first channel) for pieces of at most kMostVectors vectors of the channels.
template <typename T, typename Run>
inline void for_channels(int64_t padded, Run run) {
  for (int64_t c = 0; c < padded; c += kMostVectors * kLanes<T>) {
    const int64_t left = (padded - c) / kLanes<T>;
    switch (left < kMostVectors ? left : kMostVectors) {
      case 1: run(std::integral_constant<int, 1>{}, c); break;
      case 2: run(std::integral_constant<int, 2>{}, c); break;
      case 3: run(std::integral_constant<int, 3>{}, c); break;
      default: run(std::integral_constant<int, kMostVectors>{}, c); break;
    }
  }
}

// Everything a thread needs, in its scratch memory.
template <typename T>
struct ThreadState {
  int64_t padded, pixels;
  int32_t zeros;
  Level* levels;
  T *plane, *rows;  // the head's values; the output or its gradient for a block of queries
  Samples<T> samples;

  ThreadState(const Problem& problem, Arena& arena)
      : padded(round_up(problem.channels, kLanes<T>)),
        pixels(plane_pixels(problem)),
        levels(arena.take<Level>(problem.levels)),
        plane(arena.take<T>(pixels * padded)),
        samples(problem, arena) {
    rows = arena.take<T>(samples.queries * padded);
  }

  void prepare(const Problem& problem) {
    zeros = static_cast<int32_t>(lay_out_levels(problem, levels));
    std::memset(plane, 0, static_cast<size_t>(pixels * padded) * sizeof(T));
    std::memset(rows, 0, static_cast<size_t>(samples.queries * padded) * sizeof(T));
    samples.fill_tables(problem, levels);
  }
};

template <typename T, typename V, typename W>
void forward(const Problem& problem, const Inputs& inputs, void* output, const UnitRange& units,
             void* scratch) {
  Arena arena(scratch);
  ThreadState<T> state(problem, arena);
  state.prepare(problem);
  const int64_t channels = problem.channels, padded = state.padded;
  int64_t held_head = -1;  // whose values the plane holds
  for (int64_t unit = units.begin; unit < units.end; ++unit) {
    const int64_t part = unit % units.parts, at = unit / units.parts;
    const int64_t b = at / problem.heads, m = at % problem.heads;
    const int64_t first = problem.queries * part / units.parts;
    const int64_t last = problem.queries * (part + 1) / units.parts;
    if (at != held_head) {
      const V* value = static_cast<const V*>(inputs.value);
      read_plane(problem, state.levels, value + (b * problem.tokens * problem.heads + m) * channels,
                 state.plane, padded);
      held_head = at;
    }
    for (int64_t q = first; q < last; q += state.samples.queries) {
      const int64_t left = last - q;
      const Rows rows{b, m, q, left < state.samples.queries ? left : state.samples.queries};
      read_samples<T, W>(problem, inputs, rows, state.samples);
      locate(state.samples, state.zeros);
      for_channels<T>(padded, [&](auto vectors, int64_t c) {
        for (int64_t i = 0; i < rows.count; ++i)
          gather<T, vectors.value>(state.samples, i * state.samples.per_query, state.plane + c,
                                   padded, state.rows + i * padded + c);
      });
      for (int64_t i = 0; i < rows.count; ++i) {
        V* to = static_cast<V*>(output) + rows.index(problem, i) * channels;
        for (int64_t c = 0; c < channels; ++c) assign(to[c], state.rows[i * padded + c]);
      }
    }
  }
}

template <typename T, typename V, typename W>
void backward(const Problem& problem, const Inputs& inputs, const void* grad_output,
              const Gradients& gradients, const UnitRange& units, void* scratch) {
  Arena arena(scratch);
  ThreadState<T> state(problem, arena);
  T* grad_plane = arena.take<T>(state.pixels * state.padded);
  SampleGradients<T> sample_gradients(state.samples, arena);
  state.prepare(problem);
  const int64_t channels = problem.channels, padded = state.padded;
  for (int64_t unit = units.begin; unit < units.end; ++unit) {
    const int64_t b = unit / problem.heads, m = unit % problem.heads;
    const int64_t token = (b * problem.tokens * problem.heads + m) * channels;
    read_plane(problem, state.levels, static_cast<const V*>(inputs.value) + token, state.plane,
               padded);
    std::memset(grad_plane, 0, static_cast<size_t>(state.pixels * padded) * sizeof(T));
    for (int64_t q = 0; q < problem.queries; q += state.samples.queries) {
      const int64_t left = problem.queries - q;
      const Rows rows{b, m, q, left < state.samples.queries ? left : state.samples.queries};
      read_samples<T, W>(problem, inputs, rows, state.samples);
      locate(state.samples, state.zeros);
      for (int64_t i = 0; i < rows.count; ++i) {
        const V* from = static_cast<const V*>(grad_output) + rows.index(problem, i) * channels;
        for (int64_t c = 0; c < channels; ++c) state.rows[i * padded + c] = to_float(from[c]);
      }
      for (T* dots : sample_gradients.dots)
        std::memset(dots, 0, static_cast<size_t>(state.samples.count) * sizeof(T));
      for_channels<T>(padded, [&](auto vectors, int64_t c) {
        scatter<T, vectors.value>(state.samples, state.rows + c, state.plane + c, padded,
                                  grad_plane + c, sample_gradients.dots);
      });
      differentiate(state.samples, sample_gradients);
      write_gradients<T, W>(problem, rows, state.samples, sample_gradients, gradients);
    }
    write_plane(problem, state.levels, grad_plane, padded,
                static_cast<T*>(gradients.value) + token);
  }
}

// Calls run(T, V, W) with a number of each type; kUnsupportedDType where no kernel takes them.
template <typename Run>
int with_types(const Problem& problem, Run run) {
  const bool wide = problem.weight_type == DType::kFloat32;
  if (problem.weight_type != problem.value_type && !wide) return kUnsupportedDType;
  switch (problem.value_type) {
    case DType::kFloat64:
      if (wide) return kUnsupportedDType;
      return run(double{}, double{}, double{});
    case DType::kFloat32: return run(float{}, float{}, float{});
    case DType::kFloat16:
      return wide ? run(float{}, Float16{}, float{}) : run(float{}, Float16{}, Float16{});
    case DType::kBFloat16:
      return wide ? run(float{}, BFloat16{}, float{}) : run(float{}, BFloat16{}, BFloat16{});
  }
  return kUnsupportedDType;
}

int64_t scratch_bytes(const Problem& problem, bool backward) {
  int64_t bytes = 0;
  with_types(problem, [&](auto sum, auto, auto) {
    using T = decltype(sum);
    Arena arena(nullptr);
    const ThreadState<T> state(problem, arena);
    if (backward) {
      arena.take<T>(state.pixels * state.padded);
      const SampleGradients<T> gradients(state.samples, arena);
    }
    bytes = arena.used();
    return kSuccess;
  });
  return bytes;
}

int run_forward(const Problem& problem, const Inputs& inputs, void* output, const UnitRange& units,
                void* scratch) {
  return with_types(problem, [&](auto sum, auto value, auto weight) {
    forward<decltype(sum), decltype(value), decltype(weight)>(problem, inputs, output, units,
                                                              scratch);
    return kSuccess;
  });
}

int run_backward(const Problem& problem, const Inputs& inputs, const void* grad_output,
                 const Gradients& gradients, const UnitRange& units, void* scratch) {
  return with_types(problem, [&](auto sum, auto value, auto weight) {
    backward<decltype(sum), decltype(value), decltype(weight)>(problem, inputs, grad_output,
                                                               gradients, units, scratch);
    return kSuccess;
  });
}

}  // namespace

const CpuKernels VIDGAP_KERNELS = {scratch_bytes, run_forward, run_backward};

}  // namespace vidgap::ms_deform_attn
