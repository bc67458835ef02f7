// A head's maps in memory of a thread: (pixels, channels) for all levels, each in a border of
// zeros.
//
// In `value` the pixels of a head are M*D numbers apart, which uses one in M of the cache's sets;
// here they are neighbours. A column of zeros stands between two rows, so that the one right of a
// row is the one left of the next. Sums of a sample's four corners need no test for the border.
#pragma once

#include <algorithm>
#include <cstring>

#include "common/convert.h"
#include "common/simd.h"
#include "ms_deform_attn/ms_deform_attn.h"

namespace vidgap::ms_deform_attn {
namespace {

// Hands out pieces of one block of memory; from null it only counts the bytes.
class Arena {
 public:
  explicit Arena(void* start) : start_(static_cast<char*>(start)) {}

  template <typename T>
  T* take(int64_t count) {
    T* piece = start_ == nullptr ? nullptr : reinterpret_cast<T*>(start_ + used_);
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64);
    return piece;
  }

  int64_t used() const { return used_; }

 private:
  char* start_;
  int64_t used_ = 0;
};

// Where the levels lie in a plane, in pixels.
struct Level {
  int64_t height, width;
  int64_t first;  // the pixel of row 0, column 0
  int64_t row() const { return width + 1; }
};

// Fills `levels` unless null. The plane ends in zeros, from the returned pixel on: whatever level a
// sample is of, its four corners there are 0.
inline int64_t lay_out_levels(const Problem& problem, Level* levels) {
  int64_t next = 0;
  for (int64_t l = 0; l < problem.levels; ++l) {
    const int64_t height = problem.shapes[2 * l], width = problem.shapes[2 * l + 1];
    if (levels != nullptr) levels[l] = {height, width, next + (width + 1) + 1};
    next += (height + 2) * (width + 1) + 1;
  }
  return next;
}

inline int64_t plane_pixels(const Problem& problem) {
  int64_t widest = 0;
  for (int64_t l = 0; l < problem.levels; ++l) {
    const int64_t width = problem.shapes[2 * l + 1];
    widest = widest > width ? widest : width;
  }
  return lay_out_levels(problem, nullptr) + widest + 3;
}

// Calls visit(token, pixel) for the first pixel of each row, and with the row's length.
template <typename Visit>
inline void for_each_row(const Problem& problem, const Level* levels, Visit visit) {
  int64_t token = 0;
  for (int64_t l = 0; l < problem.levels; ++l) {
    const Level& level = levels[l];
    for (int64_t y = 0; y < level.height; ++y) {
      visit(token, level.first + y * level.row(), level.width);
      token += level.width;
    }
  }
}

// `value` points to the head's channels of token 0. Leaves the border and the padding as they are.
template <typename T, typename V>
void read_plane(const Problem& problem, const Level* levels, const V* value, T* plane,
                int64_t padded) {
  const int64_t channels = problem.channels, stride = problem.heads * channels;
  for_each_row(problem, levels, [&](int64_t token, int64_t pixel, int64_t width) {
    for (int64_t x = 0; x < width; ++x) {
      const V* from = value + (token + x) * stride;
      T* to = plane + (pixel + x) * padded;
      for (int64_t c = 0; c < channels; ++c) to[c] = to_float(from[c]);
    }
  });
}

template <typename T>
void write_plane(const Problem& problem, const Level* levels, const T* plane, int64_t padded,
                 T* value) {
  const int64_t channels = problem.channels, stride = problem.heads * channels;
  for_each_row(problem, levels, [&](int64_t token, int64_t pixel, int64_t width) {
    for (int64_t x = 0; x < width; ++x) {
      std::copy_n(plane + (pixel + x) * padded, channels, value + (token + x) * stride);
    }
  });
}

}  // namespace
}  // namespace vidgap::ms_deform_attn
