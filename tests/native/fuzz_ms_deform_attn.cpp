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
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "common/convert.h"
#include "ms_deform_attn/ms_deform_attn.h"

using namespace vidgap;
using namespace vidgap::ms_deform_attn;

namespace {

std::mt19937_64 generator;

int64_t whole(int64_t from, int64_t to) {
  return std::uniform_int_distribution<int64_t>(from, to)(generator);
}
double normal() { return std::normal_distribution<double>()(generator); }

int64_t bytes_of(DType type) {
  return type == DType::kFloat64 ? 8 : type == DType::kFloat32 ? 4 : 2;
}

// Numbers of a type, read and written as double.
class Array {
 public:
  Array(DType type, int64_t count, bool aligned)
      : type_(type), count_(count), offset_(aligned ? 0 : whole(0, 1)) {
    memory_.assign(static_cast<size_t>((count + offset_) * bytes_of(type)), '\xff');
  }
  void set(int64_t i, double number) {
    char* at = data() + i * bytes_of(type_);
    switch (type_) {
      case DType::kFloat64: write(at, number); break;
      case DType::kFloat32: write(at, static_cast<float>(number)); break;
      case DType::kFloat16: {
        Float16 half;
        assign(half, static_cast<float>(number));
        write(at, half);
        break;
      }
      case DType::kBFloat16: {
        BFloat16 half;
        assign(half, static_cast<float>(number));
        write(at, half);
      }
    }
  }
  double operator[](int64_t i) const {
    const char* at = data() + i * bytes_of(type_);
    switch (type_) {
      case DType::kFloat64: return read<double>(at);
      case DType::kFloat32: return read<float>(at);
      case DType::kFloat16: return to_float(read<Float16>(at));
      case DType::kBFloat16: return to_float(read<BFloat16>(at));
    }
    return 0;
  }
  int64_t count() const { return count_; }
  DType type() const { return type_; }
  char* data() { return memory_.data() + offset_ * bytes_of(type_); }
  const char* data() const { return memory_.data() + offset_ * bytes_of(type_); }
  std::vector<char>& memory() { return memory_; }
  int64_t offset_bytes() const { return offset_ * bytes_of(type_); }

 private:
  template <typename T>
  static void write(char* at, T number) {
    std::memcpy(at, &number, sizeof(T));
  }
  template <typename T>
  static T read(const char* at) {
    T number;
    std::memcpy(&number, at, sizeof(T));
    return number;
  }
  DType type_;
  int64_t count_, offset_;
  std::vector<char> memory_;
};

struct Case {
  Problem problem;
  bool aligned;  // whether arrays begin at multiples of 16 bytes
  std::vector<int64_t> shapes;
  std::vector<Array> arrays;  // value, locations, weights, reference, grad_output
};

enum { kValue, kLocations, kWeights, kReference, kGradOutput };

double wild() {
  const double numbers[] = {NAN, INFINITY, -INFINITY, 1e30, -1e30, 5.0};
  return numbers[whole(0, 5)];
}

// One in three has the sizes of the networks, for which there are kernels of their own.
Case random_case() {
  Case c;
  const bool of_network = whole(0, 2) == 0;
  c.aligned = of_network;
  Problem& p = c.problem;
  p.levels = of_network ? whole(3, 4) : whole(1, 4);
  p.tokens = 0;
  for (int64_t l = 0; l < p.levels; ++l) {
    c.shapes.push_back(whole(1, 7));
    c.shapes.push_back(whole(1, 7));
    p.tokens += c.shapes[2 * l] * c.shapes[2 * l + 1];
  }
  p.batch = whole(0, 3);
  p.queries = whole(0, 9);
  p.heads = whole(0, 5);
  p.channels = of_network ? 32 : whole(0, 1) ? 8 * whole(1, 8) : whole(0, 70);
  p.points = of_network ? 4 : whole(0, 8);
  p.value_type = static_cast<DType>(whole(0, 3));
  const DType coordinates = p.value_type == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  p.weight_type = whole(0, 1) ? p.value_type : coordinates;
  p.reference_size = static_cast<int>(2 * whole(of_network ? 1 : 0, 2));
  const int64_t rows = p.batch * p.queries * p.heads, samples = p.levels * p.points;
  c.arrays.emplace_back(p.value_type, p.batch * p.tokens * p.heads * p.channels, c.aligned);
  c.arrays.emplace_back(p.fused() ? p.weight_type : coordinates, rows * samples * 2, c.aligned);
  c.arrays.emplace_back(p.weight_type, rows * samples, c.aligned);
  c.arrays.emplace_back(coordinates, p.batch * p.queries * p.levels * p.reference_size, c.aligned);
  c.arrays.emplace_back(p.value_type, rows * p.channels, c.aligned);
  for (Array& array : c.arrays) {
    for (int64_t i = 0; i < array.count(); ++i) array.set(i, normal());
  }
  const double spread = p.fused() ? 4 : 0.5, middle = p.fused() ? 0 : 0.5;
  Array& locations = c.arrays[kLocations];
  for (int64_t i = 0; i < locations.count(); ++i)
    locations.set(i, whole(0, 20) == 0 ? wild() : middle + spread * normal());
  return c;
}

struct Results {
  std::vector<std::vector<double>>
      arrays;  // output, then gradients: value, places, offsets, weights
};

// The definition, a sample at a time.
Results slow(const Case& c) {
  const Problem& p = c.problem;
  const int64_t samples = p.levels * p.points, rows = p.batch * p.queries * p.heads;
  Results out{{std::vector<double>(rows * p.channels),
               std::vector<double>(c.arrays[kValue].count()),
               std::vector<double>(rows * samples * 2), std::vector<double>(rows * samples * 2),
               std::vector<double>(rows * samples)}};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t m = row % p.heads, query_row = row / p.heads, b = query_row / p.queries;
    std::vector<double> weight(samples), of_weight(samples);
    double most = -INFINITY, sum = 0, weighted = 0;
    for (int64_t s = 0; s < samples; ++s) weight[s] = c.arrays[kWeights][row * samples + s];
    if (p.fused()) {
      for (double w : weight) most = std::max(most, w);
      for (double& w : weight) sum += w = std::exp(w - most);
      for (double& w : weight) w /= sum;
    }
    int64_t first = 0;
    for (int64_t l = 0; l < p.levels; ++l) {
      const int64_t height = c.shapes[2 * l], width = c.shapes[2 * l + 1];
      for (int64_t s = l * p.points; s < (l + 1) * p.points; ++s) {
        const int64_t at = row * samples + s;
        double x = c.arrays[kLocations][2 * at], y = c.arrays[kLocations][2 * at + 1];
        double scale_x = 1, scale_y = 1;
        if (p.fused()) {
          const int64_t r = (query_row * p.levels + l) * p.reference_size;
          const Array& reference = c.arrays[kReference];
          if (p.reference_size == 4) {
            scale_x = reference[r + 2] * width / (2.0 * p.points);
            scale_y = reference[r + 3] * height / (2.0 * p.points);
          }
          x = reference[r] * width - 0.5 + x * scale_x;
          y = reference[r + 1] * height - 0.5 + y * scale_y;
        } else {
          x = x * width - 0.5;
          y = y * height - 0.5;
        }
        if (!(x > -1 && x < width && y > -1 && y < height)) continue;
        const double left = std::floor(x), top = std::floor(y), right = x - left, lower = y - top;
        double dx = 0, dy = 0;
        for (int k = 0; k < 4; ++k) {
          const int64_t column = static_cast<int64_t>(left) + k % 2,
                        line = static_cast<int64_t>(top) + k / 2;
          if (column < 0 || column >= width || line < 0 || line >= height) continue;
          const double part_x = k % 2 ? right : 1 - right, part_y = k / 2 ? lower : 1 - lower;
          const int64_t token = first + line * width + column;
          double dot = 0;
          for (int64_t d = 0; d < p.channels; ++d) {
            const int64_t v = ((b * p.tokens + token) * p.heads + m) * p.channels + d;
            const double grad = c.arrays[kGradOutput][row * p.channels + d];
            out.arrays[0][row * p.channels + d] +=
                weight[s] * part_x * part_y * c.arrays[kValue][v];
            out.arrays[1][v] += weight[s] * part_x * part_y * grad;
            dot += grad * c.arrays[kValue][v];
          }
          of_weight[s] += part_x * part_y * dot;
          dx += weight[s] * (k % 2 ? 1 : -1) * part_y * dot;
          dy += weight[s] * (k / 2 ? 1 : -1) * part_x * dot;
        }
        out.arrays[2][2 * at] = dx * width;
        out.arrays[2][2 * at + 1] = dy * height;
        out.arrays[3][2 * at] = dx * scale_x;
        out.arrays[3][2 * at + 1] = dy * scale_y;
      }
      first += height * width;
    }
    for (int64_t s = 0; s < samples; ++s) weighted += weight[s] * of_weight[s];
    for (int64_t s = 0; s < samples; ++s)
      out.arrays[4][row * samples + s] =
          p.fused() ? weight[s] * (of_weight[s] - weighted) : of_weight[s];
  }
  return out;
}

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
  const bool places = !p.fused() || whole(0, 1);
  const int64_t samples = c.arrays[kWeights].count();
  std::vector<Array> results;
  results.emplace_back(p.value_type, c.arrays[kGradOutput].count(), c.aligned);
  results.emplace_back(coordinates, c.arrays[kValue].count(), c.aligned);
  results.emplace_back(coordinates, places ? 2 * samples : 0, c.aligned);
  results.emplace_back(p.weight_type, p.fused() ? 2 * samples : 0, c.aligned);
  results.emplace_back(p.weight_type, samples, c.aligned);
  {
    std::vector<OnDevice*> in, out;
    for (Array& array : c.arrays) in.push_back(new OnDevice(array, device));
    for (Array& array : results) out.push_back(new OnDevice(array, device));
    const Inputs inputs{in[kValue]->pointer(), in[kLocations]->pointer(), in[kWeights]->pointer(),
                        p.fused() ? in[kReference]->pointer() : nullptr};
    const Gradients gradients{out[1]->pointer(), places ? out[2]->pointer() : nullptr,
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

// A place within rounding of a whole pixel has one gradient on either side: those of places are
// compared but for a few outliers.
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
    const bool of_places = a == 2 || a == 3;
    for (size_t i = 0; i < found.arrays[a].size(); ++i) {
      const double want = wanted.arrays[a][i], difference = found.arrays[a][i] - want;
      size += want * want;
      if (!std::isfinite(difference))
        fail(name + ": " + names[a] + " is not finite, or not written");
      if (of_places && std::fabs(difference) > tolerance * (1 + std::fabs(want)) && outliers < 2) {
        ++outliers;
        continue;
      }
      error += difference * difference;
    }
    if (std::sqrt(error / size) > tolerance * (of_places ? 4 : 1)) {
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
#ifndef __CUDACC__
    emulation::most_shared = whole(0, 1) ? 99 * 1024 : 2048;  // for all levels, or only for some
#endif
    const Results wanted = slow(c);
    for (int name = 3; name < count; ++name) compare(c, run(c, words[name]), wanted, words[name]);
  }
  std::printf("%lld cases agree\n", static_cast<long long>(cases));
  return 0;
}
