// Areas and intersections of all pairs of found and true tracks of a video.
#pragma once

#include <cstdint>
#include <string_view>

namespace vidgap::masks {

// Compressed strings of M tracks in T frames, (M, T); a string without data is an absent mask.
struct Tracks {
  const std::string_view* masks;
  int64_t count;
};

// What `overlaps` fills: pixels.
struct Overlaps {
  int64_t* found_areas;  // (D, T)
  int64_t* true_areas;   // (N, T)
  int32_t* shared;       // (T, D, N)
};

// Returns -1, or the index of a malformed mask: of a found one, (D, T), or D*T + of a true one.
// `pixels` is at most kMostPixels.
int64_t overlaps(Tracks found, Tracks truth, int64_t frames, int64_t pixels, Overlaps out);

}  // namespace vidgap::masks
