#include "masks/overlaps.h"

#include <memory>
#include <vector>

#include "masks/run_lengths.h"

namespace vidgap::masks {
namespace {

// The masks of tracks in one frame, each decoded once.
class Frame {
 public:
  // Returns -1, or the index (M, T) of a malformed mask.
  int64_t decode(Tracks tracks, int64_t frame, int64_t frames, int64_t pixels) {
    size_t room = 0;
    for (int64_t m = 0; m < tracks.count; ++m) room += tracks.masks[m * frames + frame].size();
    if (room > room_) {
      bounds_.reset(new uint32_t[room]);
      room_ = room;
    }
    masks_.clear();
    uint32_t* next = bounds_.get();
    for (int64_t m = 0; m < tracks.count; ++m) {
      const std::string_view text = tracks.masks[m * frames + frame];
      const int64_t size = text.data() == nullptr ? 0 : read_runs(text, pixels, next);
      if (size < 0) return m * frames + frame;
      masks_.push_back({next, size});
      next += size;
    }
    return -1;
  }

  Runs operator[](int64_t m) const { return masks_[m]; }

 private:
  std::unique_ptr<uint32_t[]> bounds_;
  size_t room_ = 0;
  std::vector<Runs> masks_;
};

}  // namespace

int64_t overlaps(Tracks found, Tracks truth, int64_t frames, int64_t pixels, Overlaps out) {
  Frame found_masks, true_masks;
  for (int64_t t = 0; t < frames; ++t) {
    const int64_t bad_found = found_masks.decode(found, t, frames, pixels);
    if (bad_found >= 0) return bad_found;
    const int64_t bad_true = true_masks.decode(truth, t, frames, pixels);
    if (bad_true >= 0) return found.count * frames + bad_true;
    for (int64_t n = 0; n < truth.count; ++n) out.true_areas[n * frames + t] = area(true_masks[n]);
    int32_t* shared = out.shared + t * found.count * truth.count;
    for (int64_t d = 0; d < found.count; ++d) {
      out.found_areas[d * frames + t] = area(found_masks[d]);
      for (int64_t n = 0; n < truth.count; ++n) {
        *shared++ = static_cast<int32_t>(intersection(found_masks[d], true_masks[n]));
      }
    }
  }
  return -1;
}

}  // namespace vidgap::masks
