// The work of one thread, compiled once for each instruction set; cpu.cpp chooses one and
// distributes the work.
#pragma once

#include "ms_deform_attn/ms_deform_attn.h"

namespace vidgap::ms_deform_attn {

// A unit is a batch entry, a head, and a part of the queries; units follow one another in this
// order, the last fastest. A backward pass takes whole heads: parts is 1.
struct UnitRange {
  int64_t begin, end, parts;
};

struct CpuKernels {
  int64_t (*scratch_bytes)(const Problem&, bool backward);
  int (*forward)(const Problem&, const Inputs&, void* output, const UnitRange&, void* scratch);
  int (*backward)(const Problem&, const Inputs&, const void* grad_output, const Gradients&,
                  const UnitRange&, void* scratch);
};

// Levels of x86-64, where they are built: AVX-512, AVX2 with FMA; and what every processor runs.
extern const CpuKernels kKernelsV4, kKernelsV3, kKernelsBaseline;

}  // namespace vidgap::ms_deform_attn
