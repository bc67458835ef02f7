// The gates of a convolutional GRU, forward and backward, between the convolutions of a step.
//
// The convolutions are the library's; everything between two of them is one kernel here. With
// r, z = sigmoid(sums), c = tanh(sum): h' = (1-z)*h + z*c, the sums being what a convolution made
// of the frame, plus what one made of h (for c: of r*h), plus a bias.
//
// A map is (H, W, channels) for each of B clips, one clip after another, but `Clips`, which lie
// `stride` elements apart. It has C channels where no other number is said; gates lie in the order
// r, z, c. A pointer may be aligned to no more than its element; where all of them and the strides
// suit, 16 bytes go at a time. Arithmetic is in float, in double for kFloat64.
//
// Work is put on `stream` (a cudaStream_t of the current device); nothing waits for it. Returned is
// a status of common/dtype.h.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace vidgap::conv_gru {

struct Sizes {
  int64_t batch, pixels, channels;  // B, H*W, C
  DType state_type;                 // of h, h' and the gradients of h'
  DType gate_type;                  // of all else: the same, or half precision under kFloat32
};

template <typename Void>
struct Clips {
  Void* data;
  int64_t stride;
};

// Writes r (unless null), z and r*h.
struct ResetForward {
  const void* frame_gates;  // 3C channels
  const void* state_gates;  // 2C
  const void* bias;         // (3C,)
  Clips<const void> state;  // h, state_type
  void* reset;
  void* update;
  void* reset_state;  // gate_type
};

// Writes c (unless null) and h' up to three times. Where `state` is null it counts as 0, and z is
// written, too; else z is read.
struct BlendForward {
  const void* frame_gates;      // 3C channels
  const void* candidate_gates;  // null where `state` is
  const void* bias;             // (3C,)
  Clips<const void> state;      // h, state_type, or null
  void* update;
  void* candidate;
  Clips<void> output;  // state_type
  void* carried;       // gate_type, or null
  void* last;          // state_type, or null
};

// The gradient of h' is the sum of three, each of which may be null. Writes those of the sums of z
// and c, and of h what does not come through a gate; where `state` is null, instead of that 0 for
// the sum of r.
struct BlendBackward {
  Clips<const void> grad_output;  // state_type
  const void* grad_next;          // state_type; may be `grad_state`
  const void* grad_through;       // gate_type
  Clips<const void> state;        // h, state_type, or null
  const void* update;
  const void* candidate;
  void* grad_gates;  // 2C channels
  void* grad_candidate;
  void* grad_state;  // state_type
};

// Adds to the gradient of h what comes through r*h; writes that of the sum of r, and once more r*h
// and h for the gradients of the weights.
struct ResetBackward {
  const void* grad_reset_state;  // gate_type
  Clips<const void> state;       // h, state_type
  const void* reset;
  void* grad_state;   // state_type
  void* grad_gates;   // 2C channels
  void* reset_state;  // gate_type
  void* before;       // gate_type
};

int reset_forward(const Sizes& sizes, const ResetForward& maps, void* stream);
int blend_forward(const Sizes& sizes, const BlendForward& maps, void* stream);
int blend_backward(const Sizes& sizes, const BlendBackward& maps, void* stream);
int reset_backward(const Sizes& sizes, const ResetBackward& maps, void* stream);

}  // namespace vidgap::conv_gru
