// Numbers of 16 bits on the host, read to and written from float.
#pragma once

#include <cstdint>
#include <cstring>

namespace vidgap {

struct BFloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

template <typename To, typename From>
static inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

static inline float to_float(BFloat16 number) {
  return bit_cast<float>(static_cast<uint32_t>(number.bits) << 16);
}

static inline float to_float(Float16 number) {
#ifdef __FLT16_MAX__
  return static_cast<float>(bit_cast<_Float16>(number.bits));
#else
  // Shift exponent and mantissa into place, then scale: 2^112 turns a bias of 15 into one of 127.
  const uint32_t sign = static_cast<uint32_t>(number.bits & 0x8000) << 16;
  const uint32_t rest = static_cast<uint32_t>(number.bits & 0x7fff) << 13;
  const float scaled = bit_cast<float>(rest) * 0x1p112f;
  const bool special = (number.bits & 0x7c00) == 0x7c00;  // infinity or not a number
  const uint32_t bits = special ? rest | 0x7f800000 : bit_cast<uint32_t>(scaled);
  return bit_cast<float>(bits | sign);
#endif
}

static inline float to_float(float number) { return number; }
static inline double to_float(double number) { return number; }

// Round to nearest, ties to even.
static inline void assign(BFloat16& to, float number) {
  const uint32_t bits = bit_cast<uint32_t>(number);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to.bits = static_cast<uint16_t>(number == number ? rounded : 0x7fc0);
}

static inline void assign(Float16& to, float number) {
#ifdef __FLT16_MAX__
  to.bits = bit_cast<uint16_t>(static_cast<_Float16>(number));
#else
  const uint32_t bits = bit_cast<uint32_t>(number);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const float size = bit_cast<float>(bits & 0x7fffffff);
  uint32_t result;
  if (!(number == number)) {
    result = 0x7e00;
  } else if (size >= 65520.0f) {  // rounds to infinity
    result = 0x7c00;
  } else if (size < 0x1p-14f) {  // subnormal: the sum's last bits count steps of 2^-24
    result = bit_cast<uint32_t>(size + 0.5f) - bit_cast<uint32_t>(0.5f);
  } else {
    const uint32_t magnitude = bits & 0x7fffffff;
    result = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  }
  to.bits = static_cast<uint16_t>(result | sign);
#endif
}

static inline void assign(float& to, float number) { to = number; }
static inline void assign(double& to, double number) { to = number; }

}  // namespace vidgap
