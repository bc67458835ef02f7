// bfloat16 as CUDA names it.
#pragma once

#include "common/convert.h"

struct __nv_bfloat16 : vidgap::BFloat16 {};
inline float __bfloat162float(__nv_bfloat16 number) { return vidgap::to_float(number); }
inline __nv_bfloat16 __float2bfloat16_rn(float number) {
  __nv_bfloat16 to;
  vidgap::assign(to, number);
  return to;
}
