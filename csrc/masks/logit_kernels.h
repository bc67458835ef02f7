// The work on one map of logits, compiled once for each instruction set; from_logits.cpp makes the
// plan that all maps share, and chooses one.
#pragma once

#include "masks/from_logits.h"

namespace vidgap::masks {

// Neighbouring rows of the mask that read rows [first, last] of the logits.
struct Block {
  int64_t begin, end, first, last;
};

// As many neighbouring columns of the mask as a vector has lanes, which read columns [first,
// first + count) of the logits: `weights` (count, lanes) of the plan, from `offset` on.
struct Group {
  int64_t first, count, offset;
};

struct Plan {
  int64_t height, width;  // of the logits
  Taps rows, columns;     // as given
  Taps merged_rows;       // no row is read twice
  const Block* blocks;
  int64_t num_blocks;
  const int64_t* block_reading;  // (height,): the first block whose last row is this one or later
  const Group* groups;
  int64_t num_groups;
  const float* weights;
};

// Memory for one map, aligned to vectors.
struct Scratch {
  float* lines;        // (height, lanes)
  uint64_t* positive;  // (width + 1, words_of(height))
  uint32_t* turns;     // (lanes, rows + 1)
};

constexpr int64_t words_of(int64_t bits) { return (bits + 63) / 64; }

struct LogitKernels {
  int64_t lanes;
  // Writes the bounds of a mask's runs, for which there must be room for its pixels and two, and
  // adds the probabilities inside the mask to `inside`; returns how many bounds.
  int64_t (*trace)(const Plan&, const float* logits, const Scratch&, uint32_t* bounds,
                   double& inside);
};

// Levels of x86-64, where they are built: AVX-512, AVX2 with FMA; and what every processor runs.
extern const LogitKernels kKernelsV4, kKernelsV3, kKernelsBaseline;

}  // namespace vidgap::masks
