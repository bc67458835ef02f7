// The extension of vidgap_temporal: pointers come as integers, statuses go back.
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include <string>

#include "conv_gru/conv_gru.h"

namespace py = pybind11;
using namespace vidgap;
using namespace vidgap::conv_gru;

namespace {

using Address = std::uintptr_t;

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

Sizes sizes_of(int64_t batch, int64_t pixels, int64_t channels, int state_type, int gate_type) {
  return {batch, pixels, channels, static_cast<DType>(state_type), static_cast<DType>(gate_type)};
}

std::string error_message(int status) {
  if (status == kUnsupportedDType) return "no kernel takes these dtypes";
  if (status > 0) return cudaGetErrorString(static_cast<cudaError_t>(status));
  return "unknown error";
}

int reset_forward_at(int64_t batch, int64_t pixels, int64_t channels, int state_type, int gate_type,
                     Address frame_gates, Address state_gates, Address bias, Address state,
                     int64_t state_stride, Address reset, Address update, Address reset_state,
                     Address stream) {
  const ResetForward maps{pointer(frame_gates), pointer(state_gates),
                          pointer(bias),        {pointer(state), state_stride},
                          pointer(reset),       pointer(update),
                          pointer(reset_state)};
  return reset_forward(sizes_of(batch, pixels, channels, state_type, gate_type), maps,
                       pointer(stream));
}

int blend_forward_at(int64_t batch, int64_t pixels, int64_t channels, int state_type, int gate_type,
                     Address frame_gates, Address candidate_gates, Address bias, Address state,
                     int64_t state_stride, Address update, Address candidate, Address output,
                     int64_t output_stride, Address carried, Address last, Address stream) {
  const BlendForward maps{pointer(frame_gates),
                          pointer(candidate_gates),
                          pointer(bias),
                          {pointer(state), state_stride},
                          pointer(update),
                          pointer(candidate),
                          {pointer(output), output_stride},
                          pointer(carried),
                          pointer(last)};
  return blend_forward(sizes_of(batch, pixels, channels, state_type, gate_type), maps,
                       pointer(stream));
}

int blend_backward_at(int64_t batch, int64_t pixels, int64_t channels, int state_type,
                      int gate_type, Address grad_output, int64_t grad_output_stride,
                      Address grad_next, Address grad_through, Address state, int64_t state_stride,
                      Address update, Address candidate, Address grad_gates, Address grad_candidate,
                      Address grad_state, Address stream) {
  const BlendBackward maps{{pointer(grad_output), grad_output_stride},
                           pointer(grad_next),
                           pointer(grad_through),
                           {pointer(state), state_stride},
                           pointer(update),
                           pointer(candidate),
                           pointer(grad_gates),
                           pointer(grad_candidate),
                           pointer(grad_state)};
  return blend_backward(sizes_of(batch, pixels, channels, state_type, gate_type), maps,
                        pointer(stream));
}

int reset_backward_at(int64_t batch, int64_t pixels, int64_t channels, int state_type,
                      int gate_type, Address grad_reset_state, Address state, int64_t state_stride,
                      Address reset, Address grad_state, Address grad_gates, Address reset_state,
                      Address before, Address stream) {
  const ResetBackward maps{pointer(grad_reset_state),
                           {pointer(state), state_stride},
                           pointer(reset),
                           pointer(grad_state),
                           pointer(grad_gates),
                           pointer(reset_state),
                           pointer(before)};
  return reset_backward(sizes_of(batch, pixels, channels, state_type, gate_type), maps,
                        pointer(stream));
}

}  // namespace

PYBIND11_MODULE(_native, module) {
#ifdef VIDGAP_CUDA_ARCHITECTURES
  module.attr("cuda_architectures") = VIDGAP_CUDA_ARCHITECTURES;
#else
  module.attr("cuda_architectures") = "";
#endif
  module.def("error_message", &error_message);
  // Arguments as in conv_gru.h, sizes first; a null pointer is 0.
  const auto no_gil = py::call_guard<py::gil_scoped_release>();
  module.def("reset_forward", &reset_forward_at, no_gil);
  module.def("blend_forward", &blend_forward_at, no_gil);
  module.def("blend_backward", &blend_backward_at, no_gil);
  module.def("reset_backward", &reset_backward_at, no_gil);
}
