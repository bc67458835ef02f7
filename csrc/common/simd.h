// Vectors in the compilers' own extension: the same source for every instruction set.
#pragma once

#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX__) || defined(__SSE__)
#include <immintrin.h>
#endif

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

template <>
struct VectorOf<uint32_t> {
  typedef uint32_t type __attribute__((vector_size(VIDGAP_VECTOR_BYTES)));
};

template <typename T>
using Vector = typename VectorOf<T>::type;

template <typename T>
constexpr int kLanes = VIDGAP_VECTOR_BYTES / static_cast<int>(sizeof(T));

// Bit i says whether lane i is above 0; that of a NaN is not.
static inline uint32_t positive_lanes(Vector<float> x) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined(__AVX__)
  return static_cast<uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ)));
#elif defined(__SSE__)
  return static_cast<uint32_t>(_mm_movemask_ps(_mm_cmpgt_ps(x, _mm_setzero_ps())));
#else
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes<float>; ++lane) bits |= uint32_t{x[lane] > 0} << lane;
  return bits;
#endif
}

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
