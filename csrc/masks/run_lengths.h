// Masks as run lengths: COCO's compressed strings, and the runs that they stand for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vidgap::masks {

// Positions are 32 bits wide.
constexpr int64_t kMostPixels = (int64_t{1} << 31) - 1;

// A mask: begin, end, begin, end, ... of its runs, in pixels counted down the columns. Runs are not
// empty and do not touch.
struct Runs {
  const uint32_t* bounds = nullptr;
  int64_t size = 0;  // twice the number of runs
};

// Writes the bounds of a compressed string's runs, for which there must be room for `text.size()`;
// returns how many, or -1 where the string is malformed or its counts do not sum to `pixels`:
// formats/rle.py is the definition, and says what is wrong.
int64_t read_runs(std::string_view text, int64_t pixels, uint32_t* bounds);

// Appends the compressed string of a mask of `pixels`; there is one for every mask.
void write_runs(Runs mask, int64_t pixels, std::string& text);

// Calls `put` with the characters of a number of a compressed string.
template <typename Put>
void put_number(int64_t number, Put put) {
  bool more = true;
  while (more) {
    const int64_t digit = number & 31;
    number >>= 5;
    more = number != ((digit & 16) ? -1 : 0);
    put(static_cast<char>('0' + digit + (more ? 32 : 0)));
  }
}

int64_t area(Runs mask);

// The number of pixels that two masks share.
int64_t intersection(Runs first, Runs second);

}  // namespace vidgap::masks
