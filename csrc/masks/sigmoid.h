// The sigmoid of a vector.
#pragma once

#include "common/simd.h"

namespace vidgap::masks {

// 1 / (1 + exp(-x)) of x >= 0, infinity too, to 2e-7 (relative).
static inline Vector<float> sigmoid(Vector<float> x) {
  // exp(-x) = 2^whole * 2^part with part in [-1/2, 1/2]. Added to 1.5 * 2^23, a float is rounded to
  // a whole number, which its last bits then are.
  constexpr float kRound = 12582912.0f;
  Vector<float> exponent = x * -1.44269504f;
  exponent = exponent < -126.0f ? Vector<float>{} - 126.0f : exponent;
  const Vector<float> rounded = exponent + kRound;
  const Vector<float> part = exponent - (rounded - kRound);
  // The series of exp(part * log(2)) up to the sixth power.
  Vector<float> power = part * 1.5403530e-4f + 1.3333558e-3f;
  power = power * part + 9.6181291e-3f;
  power = power * part + 5.5504109e-2f;
  power = power * part + 2.4022651e-1f;
  power = power * part + 6.9314718e-1f;
  power = power * part + 1.0f;
  const auto bits = (Vector<uint32_t>)power + ((Vector<uint32_t>)rounded << 23);
  return 1.0f / (1.0f + (Vector<float>)bits);
}

}  // namespace vidgap::masks
