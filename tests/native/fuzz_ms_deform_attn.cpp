// Random problems of multi-scale deformable attention through the kernels, without Python or torch,
// for sanitizers: fuzz_ms_deform_attn CASES SEED IMPLEMENTATION..., each of cpu, or cuda-1, cuda-2
// and cuda-3 for the variants. Compiled by nvcc it runs them on a GPU, else on the emulator.
//
// Every array is a block of memory of its own, of no more than its size, often aligned to no more
// than an element. What comes out is compared with a slow computation in double.
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz_case.h"
#include "fuzz_definition.h"

using namespace vidgap;
using namespace vidgap::ms_deform_attn;

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void check(int status, const char* where) {
  if (status != 0) fail(std::string(where) + ": status " + std::to_string(status));
}

// An array in the memory of the device, for as long as this lives.
struct OnDevice {
  OnDevice(Array& array, bool device) : array_(array), device_(device) {
    if (!device_) return;
    check(cudaMalloc(&memory_, array.memory().size() + 1), "cudaMalloc");
    check(cudaMemcpy(memory_, array.memory().data(), array.memory().size(), cudaMemcpyHostToDevice),
          "copy");
  }
  ~OnDevice() {
    if (!device_) return;
    check(
        cudaMemcpy(array_.memory().data(), memory_, array_.memory().size(), cudaMemcpyDeviceToHost),
        "copy");
    check(cudaFree(memory_), "cudaFree");
  }
  OnDevice(const OnDevice&) = delete;
  void* pointer() {
    return device_ ? static_cast<char*>(memory_) + array_.offset_bytes() : array_.data();
  }

 private:
  Array& array_;
  bool device_;
  void* memory_ = nullptr;
};

Results run(Case& c, const std::string& name) {
  const Problem& p = c.problem;
  const bool device = name != "cpu";
  const auto variant = static_cast<Variant>(device ? name.back() - '0' : 0);
  const DType coordinates = p.value_type == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  const bool wants_locations = !p.fused() || whole(0, 1);
  const int64_t samples = c.arrays[kWeights].count();
  std::vector<Array> results;
  results.emplace_back(p.value_type, c.arrays[kGradOutput].count(), c.aligned);
  results.emplace_back(coordinates, c.arrays[kValue].count(), c.aligned);
  results.emplace_back(coordinates, wants_locations ? 2 * samples : 0, c.aligned);
  results.emplace_back(p.weight_type, p.fused() ? 2 * samples : 0, c.aligned);
  results.emplace_back(p.weight_type, samples, c.aligned);
  {
    std::vector<OnDevice*> in, out;
    for (Array& array : c.arrays) in.push_back(new OnDevice(array, device));
    for (Array& array : results) out.push_back(new OnDevice(array, device));
    const Inputs inputs{in[kValue]->pointer(), in[kLocations]->pointer(), in[kWeights]->pointer(),
                        p.fused() ? in[kReference]->pointer() : nullptr};
    const Gradients gradients{out[1]->pointer(), wants_locations ? out[2]->pointer() : nullptr,
                              p.fused() ? out[3]->pointer() : nullptr, out[4]->pointer()};
    const void* grad = in[kGradOutput]->pointer();
    if (device) {
      void* space = nullptr;
      const int64_t bytes = backward_workspace_cuda(p, variant);
      if (bytes > 0) check(cudaMalloc(&space, static_cast<size_t>(bytes)), "cudaMalloc");
      check(forward_cuda(p, inputs, out[0]->pointer(), space, variant, 0, nullptr), "forward");
      check(backward_cuda(p, inputs, grad, gradients, space, variant, 0, nullptr), "backward");
      check(cudaDeviceSynchronize(), "synchronize");
      if (bytes > 0) check(cudaFree(space), "cudaFree");
    } else {
      const int threads = static_cast<int>(whole(1, 3));
      check(forward_cpu(p, inputs, out[0]->pointer(), threads), "forward");
      check(backward_cpu(p, inputs, grad, gradients, threads), "backward");
    }
    for (OnDevice* array : in) delete array;
    for (OnDevice* array : out) delete array;
  }
  Results found;
  for (const Array& array : results) {
    std::vector<double> numbers(static_cast<size_t>(array.count()));
    for (int64_t i = 0; i < array.count(); ++i) numbers[i] = array[i];
    found.arrays.push_back(numbers);
  }
  return found;
}

// A location within rounding of a whole pixel has another gradient on either side: those of
// locations are compared but for a few outliers.
void compare(const Case& c, const Results& found, const Results& wanted, const std::string& name) {
  const char* names[] = {"output", "grad value", "grad locations", "grad offsets", "grad weights"};
  const DType narrow = bytes_of(c.problem.value_type) < bytes_of(c.problem.weight_type)
                           ? c.problem.value_type
                           : c.problem.weight_type;
  const double tolerance = narrow == DType::kFloat64   ? 1e-11
                           : narrow == DType::kFloat32 ? 2e-5
                           : narrow == DType::kFloat16 ? 4e-3
                                                       : 3e-2;
  for (int a = 0; a < 5; ++a) {
    double error = 0, size = 1;
    int64_t outliers = 0;
    const bool of_locations = a == 2 || a == 3;
    for (size_t i = 0; i < found.arrays[a].size(); ++i) {
      const double want = wanted.arrays[a][i], difference = found.arrays[a][i] - want;
      size += want * want;
      if (!std::isfinite(difference))
        fail(name + ": " + names[a] + " is not finite, or not written");
      if (of_locations && std::fabs(difference) > tolerance * (1 + std::fabs(want)) &&
          outliers < 2) {
        ++outliers;
        continue;
      }
      error += difference * difference;
    }
    if (std::sqrt(error / size) > tolerance * (of_locations ? 4 : 1)) {
      const Problem& p = c.problem;
      fail(name + ": " + names[a] + " is off by " + std::to_string(std::sqrt(error / size)) +
           " at B " + std::to_string(p.batch) + " Q " + std::to_string(p.queries) + " M " +
           std::to_string(p.heads) + " D " + std::to_string(p.channels) + " L " +
           std::to_string(p.levels) + " P " + std::to_string(p.points) + " types " +
           std::to_string(static_cast<int>(p.value_type)) + " " +
           std::to_string(static_cast<int>(p.weight_type)) + " reference " +
           std::to_string(p.reference_size));
    }
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) fail("usage: fuzz_ms_deform_attn CASES SEED IMPLEMENTATION...");
  const int64_t cases = std::atoll(words[1]);
  generator.seed(static_cast<uint64_t>(std::atoll(words[2])));
  for (int64_t i = 0; i < cases; ++i) {
    Case c = random_case();
    c.problem.shapes = c.shapes.data();
#ifndef __NVCC__  // which nvcc defines for .cpp files, too
    emulation::most_shared = whole(0, 1) ? 99 * 1024 : 2048;  // for all levels, or only for some
#endif
    const Results wanted = slow(c);
    for (int name = 3; name < count; ++name) compare(c, run(c, words[name]), wanted, words[name]);
  }
  std::printf("%lld cases agree\n", static_cast<long long>(cases));
  return 0;
}
