// Multi-scale deformable attention on a GPU, forward.
//
// A group of lanes has a query and head; each lane sums `kWidth` neighbouring channels, 16 bytes.
// Groups of a block have neighbouring queries of one head, whose samples share cache lines.
#include "ms_deform_attn/cuda_device.cuh"

namespace vidgap::ms_deform_attn {
namespace {

// The tokens that stay in shared memory, copied by the whole block.
template <typename V, int kWidth>
__device__ inline void fetch_resident(const Device& device, const V* head, V* resident) {
  const int64_t per_token = device.channels / kWidth;
  __syncthreads();  // until no thread reads those of the head before
  for (int64_t i = threadIdx.x; i < device.resident_count * per_token; i += kThreads) {
    const int64_t token = i / per_token, channel = i % per_token * kWidth;
    store<kWidth>(
        resident + token * device.channels + channel,
        load<kWidth>(head + (device.resident_first + token) * device.token_stride + channel));
  }
  __syncthreads();
}

template <typename T, typename V, int kWidth, bool kFused, int kRounds, bool kResident>
__global__ void __launch_bounds__(kThreads, kRounds < kMaxRounds ? 4 : kBlocks<T>)
    forward_kernel(Device device, Inputs inputs, const V* value, V* output) {
  constexpr int kLanes = kLanesFor<kRounds>;
  const Group<kLanes> group(device);
  const int64_t m = blockIdx.y, groups = kThreads / group.size;
  V* const resident = static_cast<V*>(shared_memory());
  for (int64_t b = blockIdx.z; b < device.batch; b += gridDim.z) {
    const V* head = value + b * device.batch_stride + m * device.head_stride;
    if constexpr (kResident) fetch_resident<V, kWidth>(device, head, resident);
    for (int64_t first = blockIdx.x * groups; first < device.queries; first += gridDim.x * groups) {
      // A group without a query follows query 0 and writes nothing.
      const int64_t q = first + threadIdx.x / group.size;
      const bool has_query = q < device.queries;
      const int64_t query_row = b * device.queries + (has_query ? q : 0);
      const int64_t row = query_row * device.heads + m;
      T weights[kRounds];
      read_weights<T, V, kFused>(device, group, inputs.weights, row, weights);
      for (int64_t c = 0; c < device.channels; c += group.size * kWidth) {
        const int64_t channel = c + group.lane * kWidth;
        const bool has_channels = has_query && channel < device.channels;
        T sums[kWidth] = {};
#pragma unroll
        for (int r = 0; r < kRounds; ++r) {
          if (r * group.size >= device.samples) break;
          const Sample<T> mine = locate<T, V, kFused>(device, inputs, row, query_row,
                                                      r * group.size + group.lane, weights[r]);
#pragma unroll(kLanes > 0 ? 2 : 1)
          for (int j = 0; j < group.size; ++j) {
            if (kLanes == 0 && r * group.size + j >= device.samples) break;
            const Corners corners = group.corners(mine, j);
            int64_t offsets[4];
            Pack<V, kWidth> packs[4];
            if (kResident && corners.resident()) {
              corners.offsets(device.resident_first, device.channels, offsets);
              read_corners(corners, has_channels, resident + channel, offsets, packs);
            } else {
              corners.offsets(0, device.token_stride, offsets);
              read_corners(corners, has_channels, head + channel, offsets, packs);
            }
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              const T share = group.from(mine.share[k], j);
#pragma unroll
              for (int i = 0; i < kWidth; ++i)
                sums[i] += share * static_cast<T>(widen(packs[k].numbers[i]));
            }
          }
        }
        if (!has_channels) continue;
        Pack<V, kWidth> pack;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) narrow(sums[i], pack.numbers[i]);
        store<kWidth>(output + row * device.channels + channel, pack);
      }
    }
  }
}

template <typename T, typename V, int kWidth, bool kFused, int kRounds>
int start(const Device& device, const Inputs& inputs, const void* value, void* output, int index,
          void* stream) {
  const auto* from = static_cast<const V*>(value);
  auto* to = static_cast<V*>(output);
  const int64_t blocks = blocks_for_queries(device);
  if constexpr (kRounds < kMaxRounds) {  // the sizes of the networks
    if (device.resident_count > 0) {
      const auto kernel = forward_kernel<T, V, kWidth, kFused, kRounds, true>;
      const auto bytes = device.resident_count * device.channels * static_cast<int64_t>(sizeof(V));
      // Two blocks a multiprocessor, over all heads, so that each fetches once for many queries.
      int multiprocessors = 1;
      cudaError_t error =
          cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index);
      if (error != cudaSuccess) return error;
      int64_t a_head = 2 * multiprocessors / (device.heads * device.batch);
      a_head = a_head < 1 ? 1 : a_head > blocks ? blocks : a_head;
      error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(bytes));
      if (error != cudaSuccess) return error;
      return launch(kernel, grid_of(device, a_head), kThreads, static_cast<size_t>(bytes), stream,
                    device, inputs, from, to);
    }
  }
  return launch(forward_kernel<T, V, kWidth, kFused, kRounds, false>, grid_of(device, blocks),
                kThreads, 0, stream, device, inputs, from, to);
}

}  // namespace

int64_t forward_workspace_cuda(const Problem& problem, Variant variant) {
  const bool copies = variant == Variant::kHeadMajor || variant == Variant::kSharedCoarse;
  return copies ? problem.batch * problem.tokens * problem.heads * problem.channels *
                      bytes_of(problem.value_type)
                : 0;
}

int forward_cuda(const Problem& problem, const Inputs& inputs, void* output, void* workspace,
                 Variant variant, int device_index, void* stream) {
  if (too_large(problem)) return kTooLarge;
  if (problem.batch == 0 || problem.queries == 0 || problem.heads == 0) return kSuccess;
  const CurrentDevice current(device_index);
  if (current.status() != cudaSuccess) return current.status();
  return with_types(problem, [&](auto number, auto sum) -> int {
    using V = decltype(number);
    using T = decltype(sum);
    constexpr int kWide = kPerAccess<V>;
    Device device = device_problem(problem);
    const bool fast = sizeof(T) == 4 && device.channels % kWide == 0 &&
                      aligned({inputs.value, output, workspace});
    device.group = group_size(device, fast ? kWide : 1);
    const bool head_major = workspace != nullptr;
    lay_out(device, head_major);
    if (head_major) {
      const int status = copy_head_major<V>(device, inputs.value, workspace, fast, stream);
      if (status != kSuccess) return status;
    }
    if (variant == Variant::kSharedCoarse) {
      cudaError_t error;
      choose_resident(device, sizeof(V), resident_bytes(device_index, error));
      if (error != cudaSuccess) return error;
    }
    const void* value = head_major ? workspace : inputs.value;
    return with_rounds<V>(device, problem.fused(), fast, [&](auto rounds, auto fused) -> int {
      constexpr bool kFused = decltype(fused)::value != 0;
      constexpr int kRounds = decltype(rounds)::value;
      if constexpr (sizeof(T) == 4) {
        if (fast)
          return start<T, V, kWide, kFused, kRounds>(device, inputs, value, output, device_index,
                                                     stream);
      }
      if constexpr (kRounds == kMaxRounds)
        return start<T, V, 1, kFused, kRounds>(device, inputs, value, output, device_index, stream);
      return kUnsupportedDType;  // with_rounds promises few rounds only where `fast`
    });
  });
}

}  // namespace vidgap::ms_deform_attn
