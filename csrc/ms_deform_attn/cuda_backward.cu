// Multi-scale deformable attention on a GPU, backward.
//
// Lanes are grouped as forward. For each sample every lane adds its channels' shares of the
// gradient to that of `value`, by atomics of 16 bytes where the device has them, and multiplies
// them with the corners; the group sums the products, and the sample's own lane turns them into the
// gradients of its location and weight, which no other lane writes.
#include "ms_deform_attn/cuda_device.cuh"

namespace vidgap::ms_deform_attn {
namespace {

// Adds up the lanes' products of the gradient with the corners of sample j of a round, for the lane
// that has the sample. Where the kernel knows a group's size, for four samples at a time: twice a
// lane gives one half of its numbers to another lane for the other half of that one's, and then it
// has those of one sample.
template <typename T, int kLanes>
struct Dots {
  T even[4], first_two[4];

  __device__ void add(const Group<kLanes>& group, int j, const T (&dots)[4], T (&mine)[4]) {
    if (j % 2 == 0) return copy(dots, even);
    T two[4], four[4];
    exchange(group, 1, even, dots, two);
    if (j % 4 == 1) return copy(two, first_two);
    exchange(group, 2, first_two, two, four);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int other = 4; other < kLanes; other *= 2) four[k] += group.from_other(four[k], other);
      if (group.lane / 4 == j / 4) mine[k] += four[k];
    }
  }
  // Lanes with that bit keep the second numbers, the others the first.
  __device__ static void exchange(const Group<kLanes>& group, int bit, const T (&first)[4],
                                  const T (&second)[4], T (&sums)[4]) {
    const bool has_bit = (group.lane & bit) != 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums[k] =
          (has_bit ? second[k] : first[k]) + group.from_other(has_bit ? first[k] : second[k], bit);
    }
  }
  __device__ static void copy(const T (&from)[4], T (&to)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) to[k] = from[k];
  }
};

template <typename T>
struct Dots<T, 0> {
  __device__ void add(const Group<0>& group, int j, const T (&dots)[4], T (&mine)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const T sum = group.sum(dots[k]);
      if (group.lane == j) mine[k] += sum;
    }
  }
};

// Gradients of a sample's location in pixels and of its weight.
template <typename T>
struct SampleGradient {
  T x, y, weight;
};

template <typename T>
__device__ inline SampleGradient<T> differentiate(const Sample<T>& sample, const T (&dots)[4]) {
  if (!sample.inside()) return {T(0), T(0), T(0)};
  const T right = sample.right, lower = sample.lower;
  const T upper_row = dots[0] + right * (dots[1] - dots[0]);
  const T lower_row = dots[2] + right * (dots[3] - dots[2]);
  return {sample.weight * ((T(1) - lower) * (dots[1] - dots[0]) + lower * (dots[3] - dots[2])),
          sample.weight * (lower_row - upper_row), upper_row + lower * (lower_row - upper_row)};
}

template <typename T, typename V, bool kFused>
__device__ inline void write_location(const Device& device, const Gradients& gradients,
                                      const Sample<T>& sample, const SampleGradient<T>& gradient,
                                      int64_t at) {
  const bool inside = sample.inside();
  if constexpr (kFused) {
    // A scale that is not finite belongs to a sample that is outside.
    const T x = inside ? gradient.x * sample.scale_x : T(0);
    const T y = inside ? gradient.y * sample.scale_y : T(0);
    write_weight<T, V>(device, gradients.offsets, 2 * at, x);
    write_weight<T, V>(device, gradients.offsets, 2 * at + 1, y);
  }
  if (gradients.locations != nullptr) {
    T* location = static_cast<T*>(gradients.locations) + 2 * at;
    location[0] = gradient.x * static_cast<T>(device.width[sample.level]);
    location[1] = gradient.y * static_cast<T>(device.height[sample.level]);
  }
}

template <typename T, typename V, int kWidth, bool kFused, int kRounds>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    backward_kernel(Device device, Inputs inputs, const V* value, const V* grad_output,
                    Gradients gradients) {
  constexpr int kLanes = kLanesFor<kRounds>;
  const Group<kLanes> group(device);
  const int64_t m = blockIdx.y, groups = kThreads / group.size;
  const int64_t grad_stride = device.heads * device.channels;
  for (int64_t b = blockIdx.z; b < device.batch; b += gridDim.z) {
    const V* head = value + b * device.batch_stride + m * device.head_stride;
    T* head_grad =
        static_cast<T*>(gradients.value) + b * device.tokens * grad_stride + m * device.channels;
    for (int64_t first = blockIdx.x * groups; first < device.queries; first += gridDim.x * groups) {
      // A group without a query follows query 0 and writes nothing.
      const int64_t q = first + threadIdx.x / group.size;
      const bool has_query = q < device.queries;
      const int64_t query_row = b * device.queries + (has_query ? q : 0);
      const int64_t row = query_row * device.heads + m;
      T weights[kRounds], weight_grads[kRounds], weighted = 0;
      read_weights<T, V, kFused>(device, group, inputs.weights, row, weights);
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        if (r * group.size >= device.samples) break;
        const int s = r * group.size + group.lane;
        const Sample<T> mine = locate<T, V, kFused>(device, inputs, row, query_row, s, weights[r]);
        T mine_dots[4] = {};
        for (int64_t c = 0; c < device.channels; c += group.size * kWidth) {
          const int64_t channel = c + group.lane * kWidth;
          const bool has_channels = has_query && channel < device.channels;
          T grad[kWidth] = {};
          if (has_channels) {
            const auto pack = load<kWidth>(grad_output + row * device.channels + channel);
#pragma unroll
            for (int i = 0; i < kWidth; ++i) grad[i] = static_cast<T>(widen(pack.numbers[i]));
          }
          Dots<T, kLanes> dots;
#pragma unroll(kLanes > 0 ? kLanes : 1)
          for (int j = 0; j < group.size; ++j) {
            if (kLanes == 0 && r * group.size + j >= device.samples) break;
            const Corners corners = group.corners(mine, j);
            int64_t offsets[4];
            Pack<V, kWidth> packs[4];
            corners.offsets(0, device.token_stride, offsets);
            read_corners(corners, has_channels, head + channel, offsets, packs);
            corners.offsets(0, grad_stride, offsets);
            T products[4] = {};
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              const T share = group.from(mine.share[k], j);
              T shares[kWidth];
#pragma unroll
              for (int i = 0; i < kWidth; ++i) {
                products[k] += grad[i] * static_cast<T>(widen(packs[k].numbers[i]));
                shares[i] = share * grad[i];
              }
              if (has_channels && corners.has(k)) add_to(head_grad + channel + offsets[k], shares);
            }
            dots.add(group, j, products, mine_dots);
          }
        }
        const SampleGradient<T> gradient = differentiate(mine, mine_dots);
        weight_grads[r] = gradient.weight;
        weighted += s < device.samples ? weights[r] * gradient.weight : T(0);
        if (has_query && s < device.samples)
          write_location<T, V, kFused>(device, gradients, mine, gradient, row * device.samples + s);
      }
      if constexpr (kFused) weighted = group.sum(weighted);
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        const int s = r * group.size + group.lane;
        if (!has_query || s >= device.samples) break;
        const T of_weight = kFused ? weights[r] * (weight_grads[r] - weighted) : weight_grads[r];
        write_weight<T, V>(device, gradients.weights, row * device.samples + s, of_weight);
      }
    }
  }
}

}  // namespace

int64_t backward_workspace_cuda(const Problem& problem, Variant variant) {
  return forward_workspace_cuda(problem, variant);
}

int backward_cuda(const Problem& problem, const Inputs& inputs, const void* grad_output,
                  const Gradients& gradients, void* workspace, Variant variant, int device_index,
                  void* stream) {
  (void)variant;  // gradients go to device memory: shared memory has no addition of floats
  if (too_large(problem)) return kTooLarge;
  if (problem.batch == 0 || problem.heads == 0) return kSuccess;
  const CurrentDevice current(device_index);
  if (current.status() != cudaSuccess) return current.status();
  return with_types(problem, [&](auto number, auto sum) -> int {
    using V = decltype(number);
    using T = decltype(sum);
    constexpr int kWide = kPerAccess<V>;
    Device device = device_problem(problem);
    const int64_t count = device.batch * device.tokens * device.heads * device.channels;
    const cudaError_t error =
        cudaMemsetAsync(gradients.value, 0, static_cast<size_t>(count) * sizeof(T),
                        static_cast<cudaStream_t>(stream));
    if (error != cudaSuccess || problem.queries == 0) return error;
    const bool fast = sizeof(T) == 4 && device.channels % kWide == 0 &&
                      aligned({inputs.value, grad_output, gradients.value, workspace});
    device.group = group_size(device, fast ? kWide : 1);
    lay_out(device, workspace != nullptr);
    if (workspace != nullptr) {
      const int status = copy_head_major<V>(device, inputs.value, workspace, fast, stream);
      if (status != kSuccess) return status;
    }
    const auto* value = static_cast<const V*>(workspace != nullptr ? workspace : inputs.value);
    const auto* grad = static_cast<const V*>(grad_output);
    const dim3 grid = grid_of(device, blocks_for_queries(device));
    return with_rounds<V>(device, problem.fused(), fast, [&](auto rounds, auto fused) -> int {
      constexpr bool kFused = decltype(fused)::value != 0;
      constexpr int kRounds = decltype(rounds)::value;
      if constexpr (sizeof(T) == 4) {
        if (fast)
          return launch(backward_kernel<T, V, kWide, kFused, kRounds>, grid, kThreads, 0, stream,
                        device, inputs, value, grad, gradients);
      }
      if constexpr (kRounds == kMaxRounds)
        return launch(backward_kernel<T, V, 1, kFused, kRounds>, grid, kThreads, 0, stream, device,
                      inputs, value, grad, gradients);
      return kUnsupportedDType;  // with_rounds promises few rounds only where `fast`
    });
  });
}

}  // namespace vidgap::ms_deform_attn
