// What a group of lanes knows of the samples of one query and head.
//
// Sample s belongs to lane s % group in round s / group. That lane alone reads its location and
// weight and computes its corners; the others get them by shuffles.
#pragma once

#include <type_traits>

#include "common/numbers.cuh"
#include "ms_deform_attn/ms_deform_attn.h"

namespace vidgap::ms_deform_attn {

constexpr int kMaxLevels = 16;
constexpr int kMaxRounds = 8;  // of a group of at most 32 lanes: 256 samples a head
constexpr int kThreads = 256;
template <typename T>
constexpr int kBlocks = sizeof(T) == 8 ? 1 : 2;  // at least, on a multiprocessor: limits registers

// A Problem as the kernels take it: sizes that fit, levels in the constant bank.
struct Device {
  int64_t batch, tokens, heads, channels, queries;
  int levels, points, samples;  // samples of a query and head: L*P
  int reference_size;
  int group;          // lanes that share a query and head, a power of two
  bool wide_weights;  // weights, offsets and logits are of the coordinate type
  int height[kMaxLevels], width[kMaxLevels], first[kMaxLevels];  // first: of a level's tokens
  // From a token to the next, from a head to the next and from a batch entry to the next, in
  // `value` as the kernel reads it.
  int64_t token_stride, head_stride, batch_stride;
  int resident_first, resident_count;  // tokens that a block keeps in shared memory
};

// Where a sample lies. Its corners are the upper left, upper right, lower left and lower right one.
template <typename T>
struct Sample {
  int token;               // of the upper left corner
  unsigned row_and_flags;  // tokens from a row to the next, above the flags: corner k is in the map
                           // (bits 0 to 3), the level is in shared memory (bit 4)
  T share[4];              // of each corner: weight times bilinear weight, 0 outside the map
  // For gradients only.
  T right, lower, weight, scale_x, scale_y;
  int level;

  __device__ bool inside() const { return (row_and_flags & 15) != 0; }
};

// What all lanes of a group know of a sample, and where its corners lie.
struct Corners {
  int token, row;
  unsigned flags;

  __device__ bool has(int k) const { return (flags >> k & 1) != 0; }
  __device__ bool resident() const { return (flags >> 4 & 1) != 0; }
  // From token `first` to each corner, where tokens are `stride` numbers apart.
  __device__ void offsets(int first, int64_t stride, int64_t (&to)[4]) const {
    to[0] = (token - first) * stride;
    to[1] = to[0] + stride;
    to[2] = to[0] + row * stride;
    to[3] = to[2] + stride;
  }
};

// The corners that are in the map, zeros for the others. Four reads without a branch between them
// wait for memory together. As words: nvcc merges numbers of 16 bits with zeros one by one.
template <int kWidth, typename V>
__device__ inline void read_corners(const Corners& corners, bool wanted, const V* from,
                                    const int64_t (&offsets)[4], Pack<V, kWidth> (&to)[4]) {
  using Words =
      std::conditional_t<sizeof(Pack<V, kWidth>) == sizeof(uint4), uint4, Pack<V, kWidth>>;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    Words words{};
    if (wanted && corners.has(k)) words = *reinterpret_cast<const Words*>(from + offsets[k]);
    memcpy(&to[k], &words, sizeof(words));
  }
}

template <typename T, typename V>
__device__ inline T read_weight(const Device& device, const void* array, int64_t index) {
  return device.wide_weights ? static_cast<const T*>(array)[index]
                             : static_cast<T>(widen(static_cast<const V*>(array)[index]));
}

template <typename T, typename V>
__device__ inline void write_weight(const Device& device, void* array, int64_t index, T number) {
  if (device.wide_weights) {
    static_cast<T*>(array)[index] = number;
  } else {
    narrow(number, static_cast<V*>(array)[index]);
  }
}

// How many lanes make a group where the kernel knows it, for the sizes of the networks: 12 or 16
// samples of 32 channels. 0: the problem says it.
template <int kRounds>
constexpr int kLanesFor = kRounds == 2           ? 8
                          : kRounds < kMaxRounds ? 4
                                                 : 0;

// The lanes of a group. All groups of a warp must call together: a shuffle of whole warps needs no
// instruction to find out who takes part.
template <int kLanes>
struct Group {
  int lane, size;

  __device__ explicit Group(const Device& device)
      : lane(threadIdx.x % (kLanes > 0 ? kLanes : device.group)),
        size(kLanes > 0 ? kLanes : device.group) {}
  template <typename T>
  __device__ T from(T number, int source) const {
    return __shfl_sync(0xffffffffu, number, source, size);
  }
  template <typename T>
  __device__ Corners corners(const Sample<T>& mine, int source) const {
    const unsigned row_and_flags = from(mine.row_and_flags, source);
    return {from(mine.token, source), static_cast<int>(row_and_flags >> 5), row_and_flags};
  }
  template <typename T>
  __device__ T from_other(T number, int distance) const {
    return __shfl_xor_sync(0xffffffffu, number, distance, size);
  }
  template <typename T>
  __device__ T sum(T number) const {
#pragma unroll
    for (int other = size / 2; other > 0; other /= 2) number += from_other(number, other);
    return number;
  }
  template <typename T>
  __device__ T most(T number) const {
#pragma unroll
    for (int other = size / 2; other > 0; other /= 2) {
      const T there = from_other(number, other);
      number = there > number ? there : number;
    }
    return number;
  }
};

// The weights of a lane's samples, one a round; in the fused op the softmax over all lanes' logits.
template <typename T, typename V, bool kFused, typename Lanes, int kRounds>
__device__ inline void read_weights(const Device& device, const Lanes& group, const void* weights,
                                    int64_t row, T (&mine)[kRounds]) {
  T most = -INFINITY;
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int s = r * group.size + group.lane;
    mine[r] = s < device.samples ? read_weight<T, V>(device, weights, row * device.samples + s)
              : kFused           ? T(-INFINITY)
                                 : T(0);
    most = mine[r] > most ? mine[r] : most;
  }
  if constexpr (kFused) {
    most = group.most(most);
    T sum = 0;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const int s = r * group.size + group.lane;
      mine[r] = s < device.samples ? exp(mine[r] - most) : T(0);
      sum += mine[r];
    }
    const T factor = T(1) / group.sum(sum);
#pragma unroll
    for (int r = 0; r < kRounds; ++r) mine[r] *= factor;
  }
}

// Sample s of row (b, q, m), whose reference is row (b, q). What is not finite fails a comparison.
template <typename T, typename V, bool kFused>
__device__ inline Sample<T> locate(const Device& device, const Inputs& inputs, int64_t row,
                                   int64_t query_row, int s, T weight) {
  Sample<T> sample{};
  if (s >= device.samples) return sample;
  const int level = s / device.points;
  const T width = static_cast<T>(device.width[level]);
  const T height = static_cast<T>(device.height[level]);
  const int64_t at = (row * device.samples + s) * 2;
  T x, y;
  sample.scale_x = sample.scale_y = T(1);
  if constexpr (kFused) {
    const int size = device.reference_size;
    const T* reference =
        static_cast<const T*>(inputs.reference) + (query_row * device.levels + level) * size;
    if (size == 4) {
      const T half = T(1) / static_cast<T>(2 * device.points);
      sample.scale_x = reference[2] * half * width;
      sample.scale_y = reference[3] * half * height;
    }
    x = reference[0] * width - T(0.5) +
        read_weight<T, V>(device, inputs.locations, at) * sample.scale_x;
    y = reference[1] * height - T(0.5) +
        read_weight<T, V>(device, inputs.locations, at + 1) * sample.scale_y;
  } else {
    const T* location = static_cast<const T*>(inputs.locations) + at;
    x = location[0] * width - T(0.5);
    y = location[1] * height - T(0.5);
  }
  sample.level = level;
  sample.weight = weight;
  if (!(x > T(-1) && x < width && y > T(-1) && y < height)) return sample;
  const T left = floor(x), top = floor(y);
  const int column = static_cast<int>(left), line = static_cast<int>(top);
  const int row_length = device.width[level];
  const int has_left = column >= 0, has_right = column + 1 < row_length;
  const int has_upper = line >= 0, has_lower = line + 1 < device.height[level];
  sample.token = device.first[level] + line * row_length + column;
  const int resident = device.first[level] - device.resident_first;
  sample.row_and_flags = static_cast<unsigned>(row_length) << 5 | (has_left & has_upper) |
                         (has_right & has_upper) << 1 | (has_left & has_lower) << 2 |
                         (has_right & has_lower) << 3 |
                         (resident >= 0 && resident < device.resident_count) << 4;
  const T right = x - left, lower = y - top;
  sample.right = right;
  sample.lower = lower;
  sample.share[0] = weight * (T(1) - right) * (T(1) - lower);
  sample.share[1] = weight * right * (T(1) - lower);
  sample.share[2] = weight * (T(1) - right) * lower;
  sample.share[3] = weight * right * lower;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if ((sample.row_and_flags >> k & 1) == 0) sample.share[k] = T(0);
  }
  return sample;
}

}  // namespace vidgap::ms_deform_attn
