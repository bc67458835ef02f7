// Masks as rows of bits, 64 cells a word.
#pragma once

#include <cstdint>

namespace vidgap::masks {

// N masks of `words` words each, row after row.
struct BitRows {
  const uint64_t* data;
  int64_t count;
};

// Fills shared, (N, M): the number of cells that each mask of one kind shares with each of another.
void shared_bits(BitRows first, BitRows second, int64_t words, int32_t* shared);

}  // namespace vidgap::masks
