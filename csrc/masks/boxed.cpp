#include "masks/boxed.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace vidgap::masks {

Box box_of(Runs mask, int64_t rows) {
  if (mask.size == 0) return {};
  int64_t top = rows, bottom = 0;
  for (int64_t i = 0; i < mask.size; i += 2) {
    const int64_t begin = mask.bounds[i], last = mask.bounds[i + 1] - int64_t{1};
    // A run that goes on in the next column holds the last row of one and the first of the other.
    const bool is_in_one = begin / rows == last / rows;
    top = std::min(top, is_in_one ? begin % rows : 0);
    bottom = std::max(bottom, is_in_one ? last % rows + 1 : rows);
  }
  const int64_t left = mask.bounds[0] / rows;
  const int64_t right = (mask.bounds[mask.size - 1] - int64_t{1}) / rows + 1;
  return {left, top, right - left, bottom - top};
}

void fill_box(Runs mask, int64_t rows, Box box, uint8_t* out) {
  if (mask.size == 0) return;
  std::memset(out, 0, static_cast<size_t>(box.width * box.height));
  for (int64_t i = 0; i < mask.size; i += 2) {
    const int64_t begin = mask.bounds[i], length = mask.bounds[i + 1] - begin;
    // One that goes on in the next column makes the box as high as the frame: no gap is skipped.
    uint8_t* const column = out + (begin / rows - box.left) * box.height;
    std::memset(column + (begin % rows - box.top), 1, static_cast<size_t>(length));
  }
}

void bounds_of(const uint8_t* masks, int64_t count, int64_t rows, int64_t columns, int64_t* out) {
  std::vector<uint8_t> filled(static_cast<size_t>(columns));  // which columns hold a pixel
  for (int64_t n = 0; n < count; ++n, out += 4) {
    std::fill(filled.begin(), filled.end(), uint8_t{0});
    int64_t top = rows, bottom = 0;
    for (int64_t y = 0; y < rows; ++y, masks += columns) {
      uint8_t any = 0;
      for (int64_t x = 0; x < columns; ++x) any |= masks[x];
      if (any == 0) continue;
      for (int64_t x = 0; x < columns; ++x) filled[x] |= masks[x];
      top = std::min(top, y);
      bottom = y + 1;
    }
    int64_t left = 0, right = bottom == 0 ? 0 : columns;
    while (left < right && filled[left] == 0) ++left;
    while (right > left && filled[right - 1] == 0) --right;
    out[0] = bottom == 0 ? 0 : top;
    out[1] = bottom;
    out[2] = left;
    out[3] = right;
  }
}

}  // namespace vidgap::masks
