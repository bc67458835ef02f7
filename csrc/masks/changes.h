// Masks from the pixels at which they change, as a GPU finds them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vidgap::masks {

// Pixels are counted down the columns, 32 in a word, words_of_changes(pixels) words in a mask,
// masks one after the other. A set bit: this pixel differs from the one before, the first from
// outside.
struct Changes {
  const int32_t* index;  // (size,): of words that are not 0, ascending
  const uint32_t* bits;  // (size,)
  int64_t size;
};

constexpr int64_t words_of_changes(int64_t pixels) { return (pixels + 31) / 32; }

// Appends the compressed strings of `count` masks of `pixels`, and writes their areas. Returns
// false where a word does not ascend or a change lies outside of its mask. (One at its end does
// not: it closes the last run.)
bool from_changes(const Changes& changes, int64_t count, int64_t pixels,
                  std::vector<std::string>& counts, int64_t* areas);

}  // namespace vidgap::masks
