#include "masks/changes.h"

#include "masks/run_lengths.h"

namespace vidgap::masks {

bool from_changes(const Changes& changes, int64_t count, int64_t pixels,
                  std::vector<std::string>& counts, int64_t* areas) {
  if (pixels < 1 || pixels > kMostPixels) return false;
  const int64_t words = words_of_changes(pixels);
  std::vector<uint32_t> bounds;
  int64_t at = 0, last = -1;
  for (int64_t n = 0; n < count; ++n) {
    bounds.clear();
    for (; at < changes.size && changes.index[at] < (n + 1) * words; ++at) {
      const int64_t word = changes.index[at];
      if (word <= last) return false;
      last = word;
      for (uint32_t bits = changes.bits[at]; bits != 0; bits &= bits - 1) {
        const int64_t pixel = 32 * (word - n * words) + __builtin_ctz(bits);
        if (pixel > pixels || (pixel == pixels && bounds.size() % 2 == 0)) return false;
        bounds.push_back(static_cast<uint32_t>(pixel));
      }
    }
    if (bounds.size() % 2 == 1) bounds.push_back(static_cast<uint32_t>(pixels));
    const Runs mask{bounds.data(), static_cast<int64_t>(bounds.size())};
    areas[n] = area(mask);
    write_runs(mask, pixels, counts.emplace_back());
  }
  return at == changes.size;
}

}  // namespace vidgap::masks
