// Numbers of any precision on the device, and several of them in one access of 16 bytes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "common/launch.cuh"

namespace vidgap {

__device__ inline float widen(float number) { return number; }
__device__ inline double widen(double number) { return number; }
__device__ inline float widen(__half number) { return __half2float(number); }
__device__ inline float widen(__nv_bfloat16 number) { return __bfloat162float(number); }

__device__ inline void narrow(float number, float& to) { to = number; }
__device__ inline void narrow(double number, double& to) { to = number; }
__device__ inline void narrow(float number, __half& to) { to = __float2half_rn(number); }
__device__ inline void narrow(float number, __nv_bfloat16& to) { to = __float2bfloat16_rn(number); }

// `kCount` neighbours, read and written at once: a pointer to it must be aligned to its size.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T numbers[kCount];
};

template <typename T>
constexpr int kPerAccess = 16 / static_cast<int>(sizeof(T));

template <int kCount, typename T>
__device__ inline Pack<T, kCount> load(const T* from) {
  return *reinterpret_cast<const Pack<T, kCount>*>(from);
}

template <int kCount, typename T>
__device__ inline void store(T* to, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

// Adds neighbouring sums to memory; in one operation for four floats where the device has it.
template <int kCount>
__device__ inline void add_to(float* to, const float (&sums)[kCount]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  constexpr int kAtOnce = kCount % 4 == 0 ? 4 : 1;
#else
  constexpr int kAtOnce = 1;
#endif
#pragma unroll
  for (int i = 0; i < kCount; i += kAtOnce) {
    if constexpr (kAtOnce == 4) {
      atomicAdd(reinterpret_cast<float4*>(to + i),
                make_float4(sums[i], sums[i + 1], sums[i + 2], sums[i + 3]));
    } else {
      atomicAdd(to + i, sums[i]);
    }
  }
}

template <int kCount>
__device__ inline void add_to(double* to, const double (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) atomicAdd(to + i, sums[i]);
}

}  // namespace vidgap
