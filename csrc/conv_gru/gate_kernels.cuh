// What one thread does for `kWidth` neighbouring channels of a pixel, for each of the functions of
// conv_gru.h.
#pragma once

#include <cmath>

#include "common/numbers.cuh"
#include "conv_gru/conv_gru.h"

namespace vidgap::conv_gru {

// Exact to some units in the last place, in a third of the instructions of expf and a division.
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ inline double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
__device__ inline float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ inline double hyperbolic_tangent(double x) { return tanh(x); }

template <typename T>
struct RealOf {
  using type = float;
};
template <>
struct RealOf<double> {
  using type = double;
};

// Neighbouring numbers as they lie in memory, or zeros where there is no map.
template <typename T, int kWidth>
struct Neighbours {
  Pack<T, kWidth> pack;

  __device__ Neighbours(bool there, const T* from) : pack{} {
    if (there) pack = load<kWidth>(from);
  }
  __device__ auto operator[](int i) const { return widen(pack.numbers[i]); }
};

// As `store`. nvcc 13.0 takes some stores of a pack apart, into one for each number: not these.
template <typename T, int kWidth>
__device__ void store_whole(T* to, const Pack<T, kWidth>& pack) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(pack) % sizeof(uint4) == 0) {
#pragma unroll
    for (size_t i = 0; i < sizeof(pack) / sizeof(uint4); ++i) {
      uint4 words;
      memcpy(&words, reinterpret_cast<const char*>(&pack) + i * sizeof(words), sizeof(words));
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                   :
                   : "l"(__cvta_generic_to_global(reinterpret_cast<uint4*>(to) + i)), "r"(words.x),
                     "r"(words.y), "r"(words.z), "r"(words.w)
                   : "memory");
    }
    return;
  }
#endif
  store(to, pack);
}

// Where a thread's numbers lie in the maps of both types.
template <typename State_, typename Gate_, int kWidth_>
struct Position {
  using State = State_;
  using Gate = Gate_;
  static constexpr int kWidth = kWidth_;
  struct Numbers {
    typename RealOf<Gate>::type at[kWidth];

    __device__ auto& operator[](int i) { return at[i]; }
    __device__ auto operator[](int i) const { return at[i]; }
  };

  int64_t clip, pixel, channel;
  int64_t pixels, channels;

  // Of `of` groups of C channels the group `group`.
  __device__ int64_t offset(int group = 0, int of = 1) const {
    return ((clip * pixels + pixel) * of + group) * channels + channel;
  }
  template <typename T, typename Void>
  __device__ T* in_clips(const Clips<Void>& clips) const {
    return static_cast<T*>(clips.data) + (clip * clips.stride + pixel * channels + channel);
  }

  __device__ auto bias(const void* values, int group) const {
    return take(true, static_cast<const Gate*>(values) + group * channels + channel);
  }
  __device__ auto read(const void* map, int group = 0, int of = 1) const {
    return take(true, static_cast<const Gate*>(map) + offset(group, of));
  }
  __device__ auto read_if_there(const void* map) const {
    return take(map != nullptr, static_cast<const Gate*>(map) + offset());
  }
  __device__ auto read_state(const void* map) const {
    return take(map != nullptr, static_cast<const State*>(map) + offset());
  }
  __device__ auto read_state(const Clips<const void>& clips) const {
    return take(clips.data != nullptr, in_clips<const State>(clips));
  }
  __device__ void write(const Numbers& numbers, void* map, int group = 0, int of = 1) const {
    if (map != nullptr) put(numbers, static_cast<Gate*>(map) + offset(group, of));
  }
  __device__ void write_state(const Numbers& numbers, void* map) const {
    if (map != nullptr) put(numbers, static_cast<State*>(map) + offset());
  }
  __device__ void write_state(const Numbers& numbers, const Clips<void>& clips) const {
    put(numbers, in_clips<State>(clips));
  }

  template <typename T>
  __device__ static auto take(bool there, const T* from) {
    return Neighbours<T, kWidth>(there, from);
  }
  template <typename T>
  __device__ static void put(const Numbers& numbers, T* to) {
    Pack<T, kWidth> pack;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) narrow(numbers[i], pack.numbers[i]);
    store_whole(to, pack);
  }
};

template <typename Position>
__device__ void compute(const Position& at, const ResetForward& maps) {
  const auto frame_r = at.read(maps.frame_gates, 0, 3), frame_z = at.read(maps.frame_gates, 1, 3);
  const auto state_r = at.read(maps.state_gates, 0, 2), state_z = at.read(maps.state_gates, 1, 2);
  const auto h = at.read_state(maps.state);
  const auto bias_r = at.bias(maps.bias, 0), bias_z = at.bias(maps.bias, 1);
  typename Position::Numbers r, z, product;
#pragma unroll
  for (int i = 0; i < Position::kWidth; ++i) {
    r[i] = sigmoid(frame_r[i] + state_r[i] + bias_r[i]);
    z[i] = sigmoid(frame_z[i] + state_z[i] + bias_z[i]);
    product[i] = r[i] * h[i];
  }
  at.write(r, maps.reset);
  at.write(z, maps.update);
  at.write(product, maps.reset_state);
}

template <typename Position>
__device__ void compute(const Position& at, const BlendForward& maps) {
  const bool first = maps.state.data == nullptr;
  const auto frame_c = at.read(maps.frame_gates, 2, 3);
  const auto known_z = first ? at.read(maps.frame_gates, 1, 3) : at.read(maps.update);
  const auto state_c = at.read_if_there(maps.candidate_gates);
  const auto h = at.read_state(maps.state);
  const auto bias_z = at.bias(maps.bias, 1), bias_c = at.bias(maps.bias, 2);
  typename Position::Numbers z, c, after;
  if (first) {
#pragma unroll
    for (int i = 0; i < Position::kWidth; ++i) z[i] = sigmoid(known_z[i] + bias_z[i]);
    at.write(z, maps.update);
  } else {
#pragma unroll
    for (int i = 0; i < Position::kWidth; ++i) z[i] = known_z[i];
  }
#pragma unroll
  for (int i = 0; i < Position::kWidth; ++i) {
    c[i] = hyperbolic_tangent(frame_c[i] + state_c[i] + bias_c[i]);
    after[i] = h[i] + z[i] * (c[i] - h[i]);
  }
  at.write(c, maps.candidate);
  at.write(after, maps.carried);
  at.write_state(after, maps.last);
  at.write_state(after, maps.output);
}

template <typename Position>
__device__ void compute(const Position& at, const BlendBackward& maps) {
  const auto from_output = at.read_state(maps.grad_output);
  const auto from_next = at.read_state(maps.grad_next);
  const auto through = at.read_if_there(maps.grad_through);
  const auto h = at.read_state(maps.state);
  const auto z = at.read(maps.update), c = at.read(maps.candidate);
  typename Position::Numbers of_z, of_c, of_h;
#pragma unroll
  for (int i = 0; i < Position::kWidth; ++i) {
    const auto grad = from_output[i] + from_next[i] + through[i];
    of_z[i] = grad * (c[i] - h[i]) * z[i] * (1 - z[i]);
    of_c[i] = grad * z[i] * (1 - c[i] * c[i]);
    of_h[i] = grad * (1 - z[i]);
  }
  at.write(of_z, maps.grad_gates, 1, 2);
  at.write(of_c, maps.grad_candidate);
  if (maps.state.data == nullptr) {
    at.write({}, maps.grad_gates, 0, 2);
  } else {
    at.write_state(of_h, maps.grad_state);
  }
}

template <typename Position>
__device__ void compute(const Position& at, const ResetBackward& maps) {
  const auto grad = at.read(maps.grad_reset_state), r = at.read(maps.reset);
  const auto h = at.read_state(maps.state), so_far = at.read_state(maps.grad_state);
  typename Position::Numbers of_h, of_r, state, product;
#pragma unroll
  for (int i = 0; i < Position::kWidth; ++i) {
    state[i] = h[i];
    of_r[i] = grad[i] * h[i] * r[i] * (1 - r[i]);
    of_h[i] = so_far[i] + grad[i] * r[i];
    product[i] = r[i] * h[i];
  }
  at.write_state(of_h, maps.grad_state);
  at.write(of_r, maps.grad_gates, 0, 2);
  at.write(product, maps.reset_state);
  at.write(state, maps.before);
}

}  // namespace vidgap::conv_gru
