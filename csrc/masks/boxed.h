// A mask cut out of its frame: the least box that holds it, and the pixels inside.
#pragma once

#include <cstdint>

#include "masks/run_lengths.h"

namespace vidgap::masks {

// In pixels; all 0 for an empty mask.
struct Box {
  int64_t left = 0, top = 0, width = 0, height = 0;
};

// The box of a mask whose frame has `rows` rows.
Box box_of(Runs mask, int64_t rows);

// Writes the pixels of the box, (width, height), column after column: 1 inside the mask, else 0.
void fill_box(Runs mask, int64_t rows, Box box, uint8_t* out);

// Writes top, bottom, left and right of N masks of bytes, (N, rows, columns), the second and fourth
// exclusive; all 0 of an empty one. Bytes are 0 or 1.
void bounds_of(const uint8_t* masks, int64_t count, int64_t rows, int64_t columns, int64_t* out);

}  // namespace vidgap::masks
