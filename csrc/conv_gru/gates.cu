// Launches the kernels of gate_kernels.cuh: which types, how wide, on what grid.
#include <algorithm>
#include <initializer_list>

#include "common/launch.cuh"
#include "conv_gru/gate_kernels.cuh"

namespace vidgap::conv_gru {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;  // along each axis; a GPU holds fewer at a time

// A row of threads takes the channels of a pixel (blocks along z: those beyond a row's), the rows
// of all blocks along x take the pixels of a clip, and blocks along y clips; where the grid is too
// small, they come round again.
template <typename State, typename Gate, int kWidth, typename Maps>
__global__ void __launch_bounds__(kThreads, 2) gate_kernel(Sizes sizes, Maps maps) {
  const int64_t first_pixel = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const int64_t pixel_step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  const int64_t group = static_cast<int64_t>(blockIdx.z) * blockDim.x + threadIdx.x;
  Position<State, Gate, kWidth> at{0, 0, group * kWidth, sizes.pixels, sizes.channels};
  if (at.channel >= sizes.channels) return;
  for (at.clip = blockIdx.y; at.clip < sizes.batch; at.clip += gridDim.y) {
    for (at.pixel = first_pixel; at.pixel < sizes.pixels; at.pixel += pixel_step) {
      compute(at, maps);
    }
  }
}

template <typename State, typename Gate, int kWidth, typename Maps>
int launch_gates(const Sizes& sizes, const Maps& maps, void* stream) {
  const int64_t groups = (sizes.channels + kWidth - 1) / kWidth;
  int columns = 1;
  while (columns < groups && columns < kThreads) columns *= 2;
  const int rows = kThreads / columns;
  const int64_t blocks = std::min<int64_t>((sizes.pixels + rows - 1) / rows, kMaxBlocks);
  const dim3 grid(static_cast<unsigned>(blocks),
                  static_cast<unsigned>(std::min<int64_t>(sizes.batch, kMaxBlocks)),
                  static_cast<unsigned>((groups + columns - 1) / columns));
  return launch(gate_kernel<State, Gate, kWidth, Maps>, grid, dim3(columns, rows), 0, stream, sizes,
                maps);
}

// What must suit for several numbers at a time: where maps begin, and how far apart clips lie.
struct Layout {
  std::initializer_list<const void*> gates, states;
  std::initializer_list<int64_t> strides;

  template <typename State, typename Gate>
  bool suits(int width) const {
    const auto aligned = [](std::initializer_list<const void*> maps, size_t bytes) {
      return std::all_of(maps.begin(), maps.end(), [=](const void* map) {
        return reinterpret_cast<uintptr_t>(map) % bytes == 0;
      });
    };
    return aligned(gates, width * sizeof(Gate)) && aligned(states, width * sizeof(State)) &&
           std::all_of(strides.begin(), strides.end(), [=](int64_t s) { return s % width == 0; });
  }
};

template <typename State, typename Gate, typename Maps>
int launch_typed(const Sizes& sizes, const Maps& maps, const Layout& layout, void* stream) {
  constexpr int kWidth = kPerAccess<Gate>;
  if (sizes.channels % kWidth == 0 && layout.suits<State, Gate>(kWidth)) {
    return launch_gates<State, Gate, kWidth>(sizes, maps, stream);
  }
  return launch_gates<State, Gate, 1>(sizes, maps, stream);
}

template <typename Maps>
int run(const Sizes& sizes, const Maps& maps, const Layout& layout, void* stream) {
  if (sizes.batch == 0 || sizes.pixels == 0 || sizes.channels == 0) return kSuccess;
  const DType state = sizes.state_type, gate = sizes.gate_type;
  if (state == gate) {
    switch (gate) {
      case DType::kFloat32: return launch_typed<float, float>(sizes, maps, layout, stream);
      case DType::kFloat64: return launch_typed<double, double>(sizes, maps, layout, stream);
      case DType::kFloat16: return launch_typed<__half, __half>(sizes, maps, layout, stream);
      case DType::kBFloat16:
        return launch_typed<__nv_bfloat16, __nv_bfloat16>(sizes, maps, layout, stream);
    }
  }
  if (state == DType::kFloat32 && gate == DType::kFloat16) {
    return launch_typed<float, __half>(sizes, maps, layout, stream);
  }
  if (state == DType::kFloat32 && gate == DType::kBFloat16) {
    return launch_typed<float, __nv_bfloat16>(sizes, maps, layout, stream);
  }
  return kUnsupportedDType;
}

}  // namespace

int reset_forward(const Sizes& sizes, const ResetForward& maps, void* stream) {
  const Layout layout{
      {maps.frame_gates, maps.state_gates, maps.bias, maps.reset, maps.update, maps.reset_state},
      {maps.state.data},
      {maps.state.stride}};
  return run(sizes, maps, layout, stream);
}

int blend_forward(const Sizes& sizes, const BlendForward& maps, void* stream) {
  const Layout layout{{maps.frame_gates, maps.candidate_gates, maps.bias, maps.update,
                       maps.candidate, maps.carried},
                      {maps.state.data, maps.output.data, maps.last},
                      {maps.state.stride, maps.output.stride}};
  return run(sizes, maps, layout, stream);
}

int blend_backward(const Sizes& sizes, const BlendBackward& maps, void* stream) {
  const Layout layout{
      {maps.grad_through, maps.update, maps.candidate, maps.grad_gates, maps.grad_candidate},
      {maps.grad_output.data, maps.grad_next, maps.state.data, maps.grad_state},
      {maps.grad_output.stride, maps.state.stride}};
  return run(sizes, maps, layout, stream);
}

int reset_backward(const Sizes& sizes, const ResetBackward& maps, void* stream) {
  const Layout layout{
      {maps.grad_reset_state, maps.reset, maps.grad_gates, maps.reset_state, maps.before},
      {maps.state.data, maps.grad_state},
      {maps.state.stride}};
  return run(sizes, maps, layout, stream);
}

}  // namespace vidgap::conv_gru
