// From mask logits to run lengths and mean probabilities, without a map of the masks' own size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vidgap::masks {

constexpr int64_t kMostTaps = 4;

// How the outputs of one axis are interpolated: the logits that each reads, and their weights,
// which are not negative. Up to kMostTaps of each; `index` and `weight` are (size, taps).
struct Taps {
  const int32_t* index;
  const float* weight;
  int64_t size, taps;
};

struct Logits {
  const float* data;  // (count, height, width)
  int64_t count, height, width;
};

// What `from_logits` fills, a number a mask.
struct Measures {
  float* scores;   // mean probability over the pixels of a mask; 0 for an empty one
  int64_t* areas;  // pixels
};

// Appends the compressed string of each mask: the pixels whose interpolated logit is above 0. A NaN
// is not, but makes the score one. Returns false where taps cannot be or pixels exceed kMostPixels.
bool from_logits(const Logits& logits, const Taps& rows, const Taps& columns,
                 std::vector<std::string>& counts, const Measures& measures);

// The instruction set in use: "x86-64-v4", "x86-64-v3" or "baseline"; another one, if it is built
// and runs here, else false.
const char* logit_kernels_name();
bool use_logit_kernels(const char* name);

}  // namespace vidgap::masks
