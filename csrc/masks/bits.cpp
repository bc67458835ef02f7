#include "masks/bits.h"

#include <algorithm>
#include <vector>

namespace vidgap::masks {
namespace {

// The words of a mask that hold a bit: masks are compact, most pairs share few words or none.
struct Extent {
  int64_t begin, end;
};

std::vector<Extent> extents_of(BitRows masks, int64_t words) {
  std::vector<Extent> extents;
  extents.reserve(static_cast<size_t>(masks.count));
  for (int64_t n = 0; n < masks.count; ++n) {
    const uint64_t* const row = masks.data + n * words;
    Extent extent{0, words};
    while (extent.begin < words && row[extent.begin] == 0) ++extent.begin;
    while (extent.end > extent.begin && row[extent.end - 1] == 0) --extent.end;
    extents.push_back(extent);
  }
  return extents;
}

[[gnu::always_inline]] inline void count_all(BitRows first, BitRows second, int64_t words,
                                             int32_t* shared) {
  const std::vector<Extent> rows = extents_of(first, words), columns = extents_of(second, words);
  for (int64_t n = 0; n < first.count; ++n) {
    const uint64_t* const one = first.data + n * words;
    for (int64_t m = 0; m < second.count; ++m) {
      const uint64_t* const other = second.data + m * words;
      const int64_t end = std::min(rows[n].end, columns[m].end);
      int32_t sum = 0;
      for (int64_t i = std::max(rows[n].begin, columns[m].begin); i < end; ++i) {
        sum += __builtin_popcountll(one[i] & other[i]);
      }
      *shared++ = sum;
    }
  }
}

#if defined(__x86_64__)
[[gnu::target("popcnt")]] void count_by_instruction(BitRows first, BitRows second, int64_t words,
                                                    int32_t* shared) {
  count_all(first, second, words, shared);
}
#endif

}  // namespace

void shared_bits(BitRows first, BitRows second, int64_t words, int32_t* shared) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("popcnt")) {
    count_by_instruction(first, second, words, shared);
    return;
  }
#endif
  count_all(first, second, words, shared);
}

}  // namespace vidgap::masks
