// Random problems of multi-scale deformable attention, for fuzz_ms_deform_attn.cpp.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "common/convert.h"
#include "ms_deform_attn/ms_deform_attn.h"

namespace vidgap::ms_deform_attn {
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

}  // namespace
}  // namespace vidgap::ms_deform_attn
