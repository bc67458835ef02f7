// Where kernels start, and what they share. Without nvcc the same sources run on a CPU, on the
// emulator of tests/native/cuda_emulation, which is then found in place of CUDA's headers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace vidgap {

// Starts `kernel` on `stream` (a cudaStream_t) and returns a cudaError_t.
template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void* stream,
           const Arguments&... arguments) {
#ifdef __CUDACC__
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(arguments...);
#else
  (void)stream;
  emulation::run(grid, block, shared_bytes, [&] { kernel(arguments...); });
#endif
  return static_cast<int>(cudaGetLastError());
}

// The block's dynamic shared memory, aligned to 16 bytes.
#ifdef __CUDACC__
extern __shared__ float4 dynamic_shared[];
__device__ inline void* shared_memory() { return dynamic_shared; }
#else
inline void* shared_memory() { return emulation::shared_memory(); }
#endif

}  // namespace vidgap
