// Vectors in the compilers' own extension: the same source for every instruction set.
#pragma once

#include <cstdint>

namespace vidgap {

// As wide as a register: the compilers spread wider ones over memory.
#if defined(__AVX512F__)
#define VIDGAP_VECTOR_BYTES 64
#elif defined(__AVX__)
#define VIDGAP_VECTOR_BYTES 32
#else
#define VIDGAP_VECTOR_BYTES 16
#endif

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(VIDGAP_VECTOR_BYTES)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(VIDGAP_VECTOR_BYTES)));
};

template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
constexpr int kLanes = VIDGAP_VECTOR_BYTES / static_cast<int>(sizeof(T));

// Before a loop: no element that it writes is read by another round, so it may become vector code
// without a test at run time for every pair of arrays.
#if defined(__clang__)
#define VIDGAP_NO_ALIAS _Pragma("clang loop vectorize(assume_safety)")
#else
#define VIDGAP_NO_ALIAS _Pragma("GCC ivdep")
#endif

static constexpr int64_t round_up(int64_t number, int64_t multiple) {
  return (number + multiple - 1) / multiple * multiple;
}

}  // namespace vidgap
