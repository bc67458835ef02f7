// float16 as CUDA names it.
#pragma once

#include "common/convert.h"

struct __half : vidgap::Float16 {};
inline float __half2float(__half number) { return vidgap::to_float(number); }
inline __half __float2half_rn(float number) {
  __half to;
  vidgap::assign(to, number);
  return to;
}
