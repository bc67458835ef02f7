// The element types that kernels take, in the numbering that Python passes.
#pragma once

namespace vidgap {

enum class DType : int { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3 };

// What a function of ours returns: 0 for success, a positive cudaError_t, or one of these.
constexpr int kSuccess = 0;
constexpr int kUnsupportedDType = -1;
constexpr int kOutOfMemory = -2;
constexpr int kTooLarge = -3;

}  // namespace vidgap
