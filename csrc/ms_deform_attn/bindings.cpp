// The extension of vidgap_segmenter: pointers come as integers, statuses go back.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ms_deform_attn/ms_deform_attn.h"
#ifdef VIDGAP_CUDA_ARCHITECTURES
#include <cuda_runtime_api.h>
#endif

namespace py = pybind11;
using namespace vidgap;
using namespace vidgap::ms_deform_attn;

namespace {

using Address = std::uintptr_t;

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

// A problem with the memory that its shapes lie in.
struct OwnedProblem {
  OwnedProblem(std::vector<int64_t> shapes_, const Problem& sizes)
      : shapes(std::move(shapes_)), problem(sizes) {
    problem.shapes = shapes.data();
  }
  OwnedProblem(const OwnedProblem&) = delete;

  std::vector<int64_t> shapes;
  Problem problem;
};

Inputs inputs_at(Address value, Address locations, Address weights, Address reference) {
  return {pointer(value), pointer(locations), pointer(weights), pointer(reference)};
}

Gradients gradients_at(Address value, Address locations, Address offsets, Address weights) {
  return {pointer(value), pointer(locations), pointer(offsets), pointer(weights)};
}

std::string error_message(int status) {
  if (status == kUnsupportedDType) return "no kernel takes these dtypes";
  if (status == kOutOfMemory) return "out of memory";
  if (status == kTooLarge) return "larger than the kernels take";
#ifdef VIDGAP_CUDA_ARCHITECTURES
  if (status > 0) return cudaGetErrorString(static_cast<cudaError_t>(status));
#endif
  return "unknown error";
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  py::class_<OwnedProblem>(module, "Problem")
      .def(py::init([](int64_t batch, int64_t tokens, int64_t heads, int64_t channels,
                       int64_t queries, int64_t levels, int64_t points, std::vector<int64_t> shapes,
                       int value_type, int weight_type, int reference_size) {
        const Problem sizes{batch,
                            tokens,
                            heads,
                            channels,
                            queries,
                            levels,
                            points,
                            nullptr,
                            static_cast<DType>(value_type),
                            static_cast<DType>(weight_type),
                            reference_size};
        return std::make_unique<OwnedProblem>(std::move(shapes), sizes);
      }));
  module.def("error_message", &error_message);
#ifdef _OPENMP
  module.attr("has_threads") = true;
#else
  module.attr("has_threads") = false;
#endif
  module.def("cpu_kernels", &cpu_kernels_name);
  module.def("use_cpu_kernels", &use_cpu_kernels);

  const auto no_gil = py::call_guard<py::gil_scoped_release>();
  module.def(
      "forward_cpu",
      [](const OwnedProblem& owned, Address value, Address locations, Address weights,
         Address reference, Address output, int num_threads) {
        return forward_cpu(owned.problem, inputs_at(value, locations, weights, reference),
                           pointer(output), num_threads);
      },
      no_gil);
  module.def(
      "backward_cpu",
      [](const OwnedProblem& owned, Address value, Address locations, Address weights,
         Address reference, Address grad_output, Address grad_value, Address grad_locations,
         Address grad_offsets, Address grad_weights, int num_threads) {
        return backward_cpu(
            owned.problem, inputs_at(value, locations, weights, reference), pointer(grad_output),
            gradients_at(grad_value, grad_locations, grad_offsets, grad_weights), num_threads);
      },
      no_gil);
#ifdef VIDGAP_CUDA_ARCHITECTURES
  module.attr("cuda_architectures") = VIDGAP_CUDA_ARCHITECTURES;
  module.def("forward_workspace_cuda", [](const OwnedProblem& owned, int variant) {
    return forward_workspace_cuda(owned.problem, static_cast<Variant>(variant));
  });
  module.def("backward_workspace_cuda", [](const OwnedProblem& owned, int variant) {
    return backward_workspace_cuda(owned.problem, static_cast<Variant>(variant));
  });
  module.def(
      "forward_cuda",
      [](const OwnedProblem& owned, Address value, Address locations, Address weights,
         Address reference, Address output, Address workspace, int variant, int device,
         Address stream) {
        return forward_cuda(owned.problem, inputs_at(value, locations, weights, reference),
                            pointer(output), pointer(workspace), static_cast<Variant>(variant),
                            device, pointer(stream));
      },
      no_gil);
  module.def(
      "backward_cuda",
      [](const OwnedProblem& owned, Address value, Address locations, Address weights,
         Address reference, Address grad_output, Address grad_value, Address grad_locations,
         Address grad_offsets, Address grad_weights, Address workspace, int variant, int device,
         Address stream) {
        return backward_cuda(
            owned.problem, inputs_at(value, locations, weights, reference), pointer(grad_output),
            gradients_at(grad_value, grad_locations, grad_offsets, grad_weights),
            pointer(workspace), static_cast<Variant>(variant), device, pointer(stream));
      },
      no_gil);
#else
  module.attr("cuda_architectures") = "";
#endif
}
