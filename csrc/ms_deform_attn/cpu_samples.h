// Where the samples of some queries lie and what they weigh, for one head; and their gradients.
//
// The loops run over all samples of a block of queries at once, so that they fill whole vectors.
#pragma once

#include <cmath>

#include "ms_deform_attn/cpu_plane.h"

namespace vidgap::ms_deform_attn {
namespace {

// Samples s = q*L*P + l*P + p of a block of queries, `count` of them with those that fill up the
// last vector; these read zeros and weigh nothing.
template <typename T>
struct Samples {
  int64_t per_query, queries, count;
  // Given by the index within a query alone, repeated for each query.
  T *width, *height;
  int32_t *first, *row, *query;
  // Of the inputs.
  T* numbers;             // locations or offsets, (count, 2)
  T *x, *y;               // in pixels; once located, the share of the right and lower neighbour
  T *scale_x, *scale_y;   // pixels that an offset of 1 means
  T *attention, *inside;  // the weight; 1 where the sample touches the map, else 0
  int32_t* corner;        // pixel of the upper left neighbour
  T* share[4];            // of each corner: weight times bilinear weight

  Samples(const Problem& problem, Arena& arena) {
    per_query = problem.levels * problem.points;
    const int64_t fitting = 256 / (per_query > 0 ? per_query : 1);
    queries = fitting < 1 ? 1 : fitting > 32 ? 32 : fitting;
    count = round_up(per_query * queries, kLanes<T>);
    for (T** array : {&width, &height, &x, &y, &scale_x, &scale_y, &attention, &inside})
      *array = arena.take<T>(count);
    for (int32_t** array : {&first, &row, &query, &corner}) *array = arena.take<int32_t>(count);
    for (T*& array : share) array = arena.take<T>(count);
    numbers = arena.take<T>(2 * count);
  }

  void fill_tables(const Problem& problem, const Level* levels) {
    for (int64_t s = 0; s < count; ++s) {
      const bool real = s < per_query * queries;
      const Level& level = levels[real ? s % per_query / problem.points : 0];
      width[s] = static_cast<T>(level.width);
      height[s] = static_cast<T>(level.height);
      first[s] = static_cast<int32_t>(level.first);
      row[s] = static_cast<int32_t>(level.row());
      query[s] = static_cast<int32_t>(real ? s / per_query : 0);
      x[s] = y[s] = -T(2);
      attention[s] = numbers[2 * s] = numbers[2 * s + 1] = T(0);
      scale_x[s] = scale_y[s] = T(1);
    }
  }
};

// e^x to an error of 2 ulp without a call, so that loops over it become vector code.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;      // as small as normal numbers go
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float rounded = x * 1.44269504f + magic;
  const float whole = rounded - magic;
  const float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;  // ln 2 in two parts
  float sum = 1.9875691500e-4f;                                            // Cephes' expf
  sum = sum * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  sum = sum * rest * rest + rest + 1.0f;
  const uint32_t power = (bit_cast<uint32_t>(rounded) - bit_cast<uint32_t>(magic)) << 23;
  const float result = bit_cast<float>(bit_cast<uint32_t>(sum) + power);
  return x == x ? result : x;  // adding to the bits turns some NaNs into numbers
}

inline double exponential(double x) { return std::exp(x); }

template <typename T>
void softmax(T* numbers, int64_t length, int64_t rows) {
  if (length == 0) return;
  for (int64_t r = 0; r < rows; ++r) {
    T* row = numbers + r * length;
    T most = row[0];
    for (int64_t i = 1; i < length; ++i) most = row[i] > most ? row[i] : most;
    for (int64_t i = 0; i < length; ++i) row[i] -= most;
  }
  for (int64_t i = 0; i < length * rows; ++i) numbers[i] = exponential(numbers[i]);
  for (int64_t r = 0; r < rows; ++r) {
    T* row = numbers + r * length;
    T sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += row[i];
    const T factor = T(1) / sum;
    for (int64_t i = 0; i < length; ++i) row[i] *= factor;
  }
}

// Queries q..q+n-1 of one head of one batch entry; offsets into (B, Q, M, ...) arrays.
struct Rows {
  int64_t batch, head, query, count;
  int64_t index(const Problem& problem, int64_t i) const {
    return (batch * problem.queries + query + i) * problem.heads + head;
  }
};

// Fetches what lies `count` numbers after `from`, which may be past the end of its array.
template <typename W>
inline void prefetch(const W* from, int64_t count) {
  const auto bytes = static_cast<uintptr_t>(count) * sizeof(W);
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(from) + bytes));
}

constexpr int64_t kAhead = 16;  // queries

template <typename T, typename W>
void read_strips(const Problem& problem, const Rows& rows, const W* from, int64_t length, T* to) {
  for (int64_t i = 0; i < rows.count; ++i) {
    const W* strip = from + rows.index(problem, i) * length;
    // A strip is too short for the processor to see where the next ones lie.
    prefetch(strip, kAhead * problem.heads * length);
    prefetch(strip, kAhead * problem.heads * length + length - 1);
    for (int64_t s = 0; s < length; ++s) to[i * length + s] = to_float(strip[s]);
  }
}

template <typename T, typename W>
void write_strips(const Problem& problem, const Rows& rows, const T* from, int64_t length, W* to) {
  for (int64_t i = 0; i < rows.count; ++i) {
    W* strip = to + rows.index(problem, i) * length;
    for (int64_t s = 0; s < length; ++s) assign(strip[s], from[i * length + s]);
  }
}

// Sets x, y to the reference in pixels, and the scales where it is a box.
template <typename T>
void read_reference(const Problem& problem, const Rows& rows, const T* reference, Samples<T>& to) {
  const int64_t size = problem.reference_size, points = problem.points;
  const T half = T(1) / T(2 * points);
  for (int64_t i = 0; i < rows.count; ++i) {
    const T* point =
        reference + (rows.batch * problem.queries + rows.query + i) * problem.levels * size;
    for (int64_t l = 0; l < problem.levels; ++l, point += size) {
      for (int64_t s = i * to.per_query + l * points, p = 0; p < points; ++p, ++s) {
        to.x[s] = point[0] * to.width[s] - T(0.5);
        to.y[s] = point[1] * to.height[s] - T(0.5);
        if (size == 4) {
          to.scale_x[s] = point[2] * half * to.width[s];
          to.scale_y[s] = point[3] * half * to.height[s];
        }
      }
    }
  }
}

template <typename T, typename W>
void read_samples(const Problem& problem, const Inputs& inputs, const Rows& rows, Samples<T>& to) {
  const int64_t used = rows.count * to.per_query;
  const W* weights = static_cast<const W*>(inputs.weights);
  read_strips(problem, rows, weights, to.per_query, to.attention);
  if (problem.fused()) {
    softmax(to.attention, to.per_query, rows.count);
    read_strips(problem, rows, static_cast<const W*>(inputs.locations), 2 * to.per_query,
                to.numbers);
    read_reference(problem, rows, static_cast<const T*>(inputs.reference), to);
    for (int64_t s = 0; s < used; ++s) {
      to.x[s] += to.numbers[2 * s] * to.scale_x[s];
      to.y[s] += to.numbers[2 * s + 1] * to.scale_y[s];
    }
  } else {
    read_strips(problem, rows, static_cast<const T*>(inputs.locations), 2 * to.per_query,
                to.numbers);
    for (int64_t s = 0; s < used; ++s) {
      to.x[s] = to.numbers[2 * s] * to.width[s] - T(0.5);
      to.y[s] = to.numbers[2 * s + 1] * to.height[s] - T(0.5);
    }
  }
  for (int64_t s = used; s < to.count; ++s) to.x[s] = -T(2);  // left from a longer block
}

// From locations in pixels to corners and shares. What is not finite fails every comparison.
template <typename T>
void locate(Samples<T>& samples, int32_t zeros) {
  T* const x = samples.x;
  T* const y = samples.y;
  VIDGAP_NO_ALIAS
  for (int64_t s = 0; s < samples.count; ++s) {
    // Read all before choosing, or the compiler guards each reading and gives up on vectors.
    const T at_x = x[s], at_y = y[s], attention = samples.attention[s];
    const int32_t first = samples.first[s], row = samples.row[s];
    const bool inside =
        (at_x > T(-1)) & (at_x < samples.width[s]) & (at_y > T(-1)) & (at_y < samples.height[s]);
    const T px = inside ? at_x : T(0), py = inside ? at_y : T(0);
    const T left = std::floor(px), top = std::floor(py);
    const T right = px - left, lower = py - top;
    const T weight = inside ? attention : T(0);
    const int32_t pixel = first + static_cast<int32_t>(top) * row + static_cast<int32_t>(left);
    samples.corner[s] = inside ? pixel : zeros;
    samples.inside[s] = inside ? T(1) : T(0);
    x[s] = right;
    y[s] = lower;
    samples.share[0][s] = weight * (T(1) - right) * (T(1) - lower);
    samples.share[1][s] = weight * right * (T(1) - lower);
    samples.share[2][s] = weight * (T(1) - right) * lower;
    samples.share[3][s] = weight * right * lower;
  }
}

// What a backward pass needs besides: dots[k] of grad_output with corner k, then the gradients.
template <typename T>
struct SampleGradients {
  T* dots[4];
  T *numbers, *locations, *weights;

  SampleGradients(const Samples<T>& samples, Arena& arena) {
    for (T*& array : dots) array = arena.take<T>(samples.count);
    numbers = arena.take<T>(2 * samples.count);
    locations = arena.take<T>(2 * samples.count);
    weights = arena.take<T>(samples.count);
  }
};

template <typename T>
void differentiate(const Samples<T>& samples, SampleGradients<T>& to) {
  VIDGAP_NO_ALIAS
  for (int64_t s = 0; s < samples.count; ++s) {
    const bool inside = samples.inside[s] != T(0);
    const T right = samples.x[s], lower = samples.y[s];
    const T d0 = to.dots[0][s], d1 = to.dots[1][s], d2 = to.dots[2][s], d3 = to.dots[3][s];
    const T upper_row = d0 + right * (d1 - d0), lower_row = d2 + right * (d3 - d2);
    const T weight = samples.attention[s];
    const T dx = weight * ((T(1) - lower) * (d1 - d0) + lower * (d3 - d2));
    const T dy = weight * (lower_row - upper_row);
    to.weights[s] = inside ? upper_row + lower * (lower_row - upper_row) : T(0);
    to.numbers[2 * s] = inside ? dx * samples.scale_x[s] : T(0);
    to.numbers[2 * s + 1] = inside ? dy * samples.scale_y[s] : T(0);
    to.locations[2 * s] = inside ? dx * samples.width[s] : T(0);
    to.locations[2 * s + 1] = inside ? dy * samples.height[s] : T(0);
  }
}

// From gradients of weights to those of logits, in place.
template <typename T>
void differentiate_softmax(const Samples<T>& samples, int64_t rows, T* gradients) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* weights = samples.attention + r * samples.per_query;
    T* row = gradients + r * samples.per_query;
    T sum = 0;
    for (int64_t s = 0; s < samples.per_query; ++s) sum += weights[s] * row[s];
    for (int64_t s = 0; s < samples.per_query; ++s) row[s] = weights[s] * (row[s] - sum);
  }
}

template <typename T, typename W>
void write_gradients(const Problem& problem, const Rows& rows, const Samples<T>& samples,
                     SampleGradients<T>& from, const Gradients& gradients) {
  const int64_t length = samples.per_query;
  if (problem.fused()) {
    differentiate_softmax(samples, rows.count, from.weights);
    write_strips(problem, rows, from.numbers, 2 * length, static_cast<W*>(gradients.offsets));
  }
  if (gradients.locations != nullptr)
    write_strips(problem, rows, from.locations, 2 * length, static_cast<T*>(gradients.locations));
  write_strips(problem, rows, from.weights, length, static_cast<W*>(gradients.weights));
}

}  // namespace
}  // namespace vidgap::ms_deform_attn
