// From a Problem to what the kernels take, and to the kernel that takes it.
#pragma once

#include <initializer_list>

#include "ms_deform_attn/cuda_samples.cuh"

namespace vidgap::ms_deform_attn {

// Makes a device current, and afterwards the one from before again.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    status_ = cudaGetDevice(&before_);
    if (status_ == cudaSuccess && before_ != device) status_ = cudaSetDevice(device);
  }
  ~CurrentDevice() {
    if (before_ >= 0) cudaSetDevice(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  cudaError_t status() const { return status_; }

 private:
  int before_ = -1;
  cudaError_t status_;
};

inline int power_of_two_from(int64_t number) {
  int power = 1;
  while (power < number) power *= 2;
  return power;
}

inline int64_t bytes_of(DType type) {
  return type == DType::kFloat64 ? 8 : type == DType::kFloat32 ? 4 : 2;
}

// Does not say how `value` lies, nor how many lanes make a group.
inline Device device_problem(const Problem& problem) {
  Device device{};
  device.batch = problem.batch;
  device.tokens = problem.tokens;
  device.heads = problem.heads;
  device.channels = problem.channels;
  device.queries = problem.queries;
  device.levels = static_cast<int>(problem.levels);
  device.points = static_cast<int>(problem.points);
  device.samples = static_cast<int>(problem.levels * problem.points);
  device.reference_size = problem.reference_size;
  device.wide_weights =
      problem.weight_type == DType::kFloat32 || problem.weight_type == DType::kFloat64;
  int token = 0;
  for (int l = 0; l < device.levels; ++l) {
    device.height[l] = static_cast<int>(problem.shapes[2 * l]);
    device.width[l] = static_cast<int>(problem.shapes[2 * l + 1]);
    device.first[l] = token;
    token += device.height[l] * device.width[l];
  }
  return device;
}

inline void lay_out(Device& device, bool head_major) {
  const int64_t tokens = device.tokens, heads = device.heads, channels = device.channels;
  device.token_stride = head_major ? channels : heads * channels;
  device.head_stride = head_major ? tokens * channels : channels;
  device.batch_stride = tokens * heads * channels;
}

// Bytes of shared memory with which two blocks fit on a multiprocessor, each with 1 KB for itself.
inline int resident_bytes(int device_index, cudaError_t& error) {
  int of_block = 0, of_all = 0;
  error = cudaDeviceGetAttribute(&of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_index);
  if (error == cudaSuccess)
    error =
        cudaDeviceGetAttribute(&of_all, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device_index);
  const int half = of_all / 2 - 1024;
  return half < of_block ? half : of_block;
}

// Of the runs of neighbouring levels that fit into `bytes` of shared memory, the one with the most
// levels (each has as many samples), and of those the one with the most tokens.
inline void choose_resident(Device& device, int64_t value_bytes, int64_t bytes) {
  int most_levels = 0;
  for (int from = 0; from < device.levels; ++from) {
    int count = 0;
    for (int l = from; l < device.levels; ++l) {
      count += device.height[l] * device.width[l];
      if (count * device.channels * value_bytes > bytes) break;
      const int levels = l - from + 1;
      if (levels < most_levels || (levels == most_levels && count <= device.resident_count))
        continue;
      most_levels = levels;
      device.resident_first = device.first[from];
      device.resident_count = count;
    }
  }
}

inline bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers) {
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) return false;
  }
  return true;
}

// A group has lanes for all channels, `width` at a time, and for the samples of kMaxRounds rounds.
inline int group_size(const Device& device, int width) {
  const int for_channels = power_of_two_from((device.channels + width - 1) / width);
  const int for_samples = power_of_two_from((device.samples + kMaxRounds - 1) / kMaxRounds);
  const int wanted = for_channels > for_samples ? for_channels : for_samples;
  return wanted > 32 ? 32 : wanted;
}

inline bool too_large(const Problem& problem) {
  return problem.levels > kMaxLevels || problem.levels * problem.points > 32 * kMaxRounds ||
         problem.tokens >= int64_t{1} << 27;
}

// Calls run(V, T): the numbers of `value`, and those that are summed.
template <typename Run>
int with_types(const Problem& problem, Run run) {
  switch (problem.value_type) {
    case DType::kFloat64: return run(double{}, double{});
    case DType::kFloat32: return run(float{}, float{});
    case DType::kFloat16: return run(__half{}, float{});
    case DType::kBFloat16: return run(__nv_bfloat16{}, float{});
  }
  return kUnsupportedDType;
}

template <int kNumber>
struct Constant {
  static constexpr int value = kNumber;
};

// Calls run(rounds, fused): as many rounds as the samples need where a kernel is made for them,
// or kMaxRounds.
template <typename V, typename Run>
int with_rounds(const Device& device, bool fused, bool fast, Run run) {
  const int rounds = (device.samples + device.group - 1) / device.group;
  if (!fused) return run(Constant<kMaxRounds>{}, Constant<0>{});
  if constexpr (sizeof(V) == 4) {
    if (fast && rounds == 2 && device.group == 8) return run(Constant<2>{}, Constant<1>{});
  } else if constexpr (sizeof(V) == 2) {
    if (fast && rounds == 3 && device.group == 4) return run(Constant<3>{}, Constant<1>{});
    if (fast && rounds == 4 && device.group == 4) return run(Constant<4>{}, Constant<1>{});
  }
  return run(Constant<kMaxRounds>{}, Constant<1>{});
}

// Blocks take queries of one head of one batch entry.
inline dim3 grid_of(const Device& device, int64_t blocks_a_head) {
  const int64_t most = 65535;
  return dim3(static_cast<unsigned>(blocks_a_head), static_cast<unsigned>(device.heads),
              static_cast<unsigned>(device.batch < most ? device.batch : most));
}

inline int64_t blocks_for_queries(const Device& device) {
  const int64_t groups = kThreads / device.group;
  return (device.queries + groups - 1) / groups;
}

// Copies (B, S, M, D) to (B, M, S, D).
template <typename V, int kWidth>
__global__ void head_major_kernel(Device device, const V* from, V* to) {
  const int64_t per_token = device.channels / kWidth;
  const int64_t count = device.tokens * per_token;
  for (int64_t b = blockIdx.z; b < device.batch; b += gridDim.z) {
    const int64_t head = b * device.heads + blockIdx.y;
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count;
         i += gridDim.x * int64_t{kThreads}) {
      const int64_t token = i / per_token, channel = i % per_token * kWidth;
      const V* source =
          from + ((b * device.tokens + token) * device.heads + blockIdx.y) * device.channels +
          channel;
      store<kWidth>(to + (head * device.tokens + token) * device.channels + channel,
                    load<kWidth>(source));
    }
  }
}

template <typename V>
int copy_head_major(const Device& device, const void* value, void* workspace, bool fast,
                    void* stream) {
  const auto* from = static_cast<const V*>(value);
  auto* to = static_cast<V*>(workspace);
  const int64_t width = fast ? kPerAccess<V> : 1;
  const int64_t blocks = (device.tokens * device.channels / width + kThreads - 1) / kThreads;
  if (blocks == 0) return kSuccess;
  const dim3 grid = grid_of(device, blocks < 65535 ? blocks : 65535);
  if (fast)
    return launch(head_major_kernel<V, kPerAccess<V>>, grid, kThreads, 0, stream, device, from, to);
  return launch(head_major_kernel<V, 1>, grid, kThreads, 0, stream, device, from, to);
}

}  // namespace vidgap::ms_deform_attn
