// Multi-scale deformable attention (Deformable DETR, section 4.1), forward and backward.
//
// Arguments are checked in Python, once, before they come here. Every tensor is contiguous; a
// pointer may be aligned to no more than its element. Pointers lie in the memory of the device that
// the function's name says.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace vidgap::ms_deform_attn {

// Which of the two ops, and its sizes.
struct Problem {
  int64_t batch, tokens, heads, channels, queries, levels, points;
  const int64_t* shapes;  // in host memory: H_0, W_0, H_1, W_1, ...; their areas sum to `tokens`
  DType value_type;       // of `value` and the output
  DType weight_type;      // of the weights; in the fused op of offsets and logits: `value_type` or
                          // the coordinate type
  int reference_size;     // 0: ms_deform_attn; 2 (points) or 4 (boxes): ms_deform_attn_fused

  bool fused() const { return reference_size != 0; }
};

// The coordinate type is double where `value_type` is kFloat64, else float; sums are of it, too.
// A sample with a non-finite location contributes 0 and has gradients 0.
struct Inputs {
  const void* value;      // (B, S, M, D)
  const void* locations;  // (B, Q, M, L, P, 2), (x, y) in [0, 1], coordinate type;
                          // fused: offsets in pixels, weight_type
  const void* weights;    // (B, Q, M, L, P); fused: logits, softmax over a head's L*P
  const void* reference;  // fused: (B, Q, L, reference_size), coordinate type; else null
};

// Every element is written, whatever was there.
struct Gradients {
  void* value;      // of the coordinate type, which it is summed in
  void* locations;  // of the coordinate type; fused: null, unless the reference wants a gradient
  void* offsets;    // fused: of weight_type; else null
  void* weights;    // of weight_type
};

// The instruction set that the CPU's kernels use: the best that this processor has, of "x86-64-v4",
// "x86-64-v3" and "baseline". Tests and benches take another; false where it cannot run here.
const char* cpu_kernels_name();
bool use_cpu_kernels(const char* name);

int forward_cpu(const Problem& problem, const Inputs& inputs, void* output, int num_threads);

// The same bits for any number of threads.
int backward_cpu(const Problem& problem, const Inputs& inputs, const void* grad_output,
                 const Gradients& gradients, int num_threads);

// How the CUDA kernels read and add; all agree, the bench says which is fast.
enum class Variant : int {
  kAuto = 0,
  kGather = 1,       // samples read from `value` as it lies
  kHeadMajor = 2,    // from a copy (B, M, S, D), where neighbours in x share cache lines
  kSharedCoarse = 3  // the coarse levels of a head in shared memory, the others head-major
};

// Bytes of device memory that a call needs at `workspace`, aligned to 256; 0 for some variants.
int64_t forward_workspace_cuda(const Problem& problem, Variant variant);
int64_t backward_workspace_cuda(const Problem& problem, Variant variant);

// Work is put on `stream` (a cudaStream_t) of `device`; nothing waits for it.
int forward_cuda(const Problem& problem, const Inputs& inputs, void* output, void* workspace,
                 Variant variant, int device, void* stream);
int backward_cuda(const Problem& problem, const Inputs& inputs, const void* grad_output,
                  const Gradients& gradients, void* workspace, Variant variant, int device,
                  void* stream);

}  // namespace vidgap::ms_deform_attn
