#include "masks/from_logits.h"

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>

#include "common/cpu_levels.h"
#include "common/simd.h"
#include "masks/logit_kernels.h"
#include "masks/run_lengths.h"

namespace vidgap::masks {
namespace {

CpuLevels<LogitKernels>& levels() {
#ifdef VIDGAP_X86_LEVELS
  static CpuLevels<LogitKernels> levels(&kKernelsV4, &kKernelsV3, &kKernelsBaseline);
#else
  static CpuLevels<LogitKernels> levels(nullptr, nullptr, &kKernelsBaseline);
#endif
  return levels;
}

// Memory that is not written before it is used, as wide as any vector.
template <typename T>
class Room {
 public:
  explicit Room(int64_t size)
      : data_(static_cast<T*>(
            ::operator new(static_cast<size_t>(size) * sizeof(T), std::align_val_t{64}))) {}
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* block) const { ::operator delete(block, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
};

bool are_taps(const Taps& taps, int64_t length) {
  if (taps.size < 1 || taps.taps < 1 || taps.taps > kMostTaps) return false;
  for (int64_t i = 0; i < taps.size * taps.taps; ++i) {
    if (taps.index[i] < 0 || taps.index[i] >= length || !(taps.weight[i] >= 0)) return false;
  }
  return true;
}

struct Span {
  int64_t first, last;
  bool operator==(const Span& other) const { return first == other.first && last == other.last; }
};

// What outputs [begin, end) read.
Span span_of(const Taps& taps, int64_t begin, int64_t end) {
  const auto [first, last] =
      std::minmax_element(taps.index + begin * taps.taps, taps.index + end * taps.taps);
  return {*first, *last};
}

// The rows: taps that read the same logits made one, and blocks.
class Rows {
 public:
  // False where a row reads logits before those of the row above.
  bool plan(const Taps& given, int64_t height) {
    merge(given);
    for (int64_t i = 0; i < given.size; ++i) {
      const Span span = span_of(given, i, i + 1);
      if (!blocks_.empty()) {
        Block& last = blocks_.back();
        if (span.first < last.first || span.last < last.last) return false;
        if (span == Span{last.first, last.last}) {
          last.end = i + 1;
          continue;
        }
      }
      blocks_.push_back({i, i + 1, span.first, span.last});
    }
    int64_t block = 0;
    for (int64_t row = 0; row < height; ++row) {
      while (block < num_blocks() && blocks_[block].last < row) ++block;
      block_reading_.push_back(block);
    }
    return true;
  }

  Taps merged() const { return {index_.data(), weight_.data(), size_, taps_}; }
  const Block* blocks() const { return blocks_.data(); }
  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  const int64_t* block_reading() const { return block_reading_.data(); }

 private:
  void merge(const Taps& given) {
    size_ = given.size;
    taps_ = 1;
    std::vector<int64_t> used(size_);
    std::vector<int32_t> index(size_ * kMostTaps);
    std::vector<float> weight(size_ * kMostTaps);
    for (int64_t i = 0; i < size_; ++i) {
      int32_t* const kept = index.data() + i * kMostTaps;
      for (int64_t tap = i * given.taps; tap < (i + 1) * given.taps; ++tap) {
        const int64_t same = std::find(kept, kept + used[i], given.index[tap]) - kept;
        if (same == used[i]) kept[used[i]++] = given.index[tap];
        weight[i * kMostTaps + same] += given.weight[tap];
      }
      taps_ = std::max(taps_, used[i]);
    }
    for (int64_t i = 0; i < size_; ++i) {
      for (int64_t tap = 0; tap < taps_; ++tap) {
        index_.push_back(index[i * kMostTaps + (tap < used[i] ? tap : 0)]);
        weight_.push_back(tap < used[i] ? weight[i * kMostTaps + tap] : 0);
      }
    }
  }

  int64_t size_ = 0, taps_ = 0;
  std::vector<int32_t> index_;
  std::vector<float> weight_;
  std::vector<Block> blocks_;
  std::vector<int64_t> block_reading_;
};

// The groups of `lanes` columns; returns how many weights they have.
int64_t plan_groups(const Taps& columns, int64_t lanes, std::vector<Group>& groups) {
  int64_t offset = 0;
  for (int64_t begin = 0; begin < columns.size; begin += lanes) {
    const Span span = span_of(columns, begin, std::min(begin + lanes, columns.size));
    groups.push_back({span.first, span.last - span.first + 1, offset});
    offset += groups.back().count * lanes;
  }
  return offset;
}

void fill_weights(const Taps& columns, int64_t lanes, const std::vector<Group>& groups,
                  float* weights) {
  for (int64_t column = 0; column < columns.size; ++column) {
    const Group& group = groups[column / lanes];
    float* const of_lane = weights + group.offset + column % lanes;
    for (int64_t tap = column * columns.taps; tap < (column + 1) * columns.taps; ++tap) {
      of_lane[(columns.index[tap] - group.first) * lanes] += columns.weight[tap];
    }
  }
}

}  // namespace

bool from_logits(const Logits& logits, const Taps& rows, const Taps& columns,
                 std::vector<std::string>& counts, const Measures& measures) {
  if (!are_taps(rows, logits.height) || !are_taps(columns, logits.width)) return false;
  const int64_t pixels = rows.size * columns.size;
  Rows planned;
  if (rows.size > kMostPixels / columns.size || !planned.plan(rows, logits.height)) return false;

  const LogitKernels& kernels = levels().kernels();
  const int64_t lanes = kernels.lanes;
  std::vector<Group> groups;
  const int64_t num_weights = plan_groups(columns, lanes, groups);
  const Room<float> weights(num_weights);
  std::fill_n(weights.get(), num_weights, 0.0f);
  fill_weights(columns, lanes, groups, weights.get());
  const Plan plan{logits.height,
                  logits.width,
                  rows,
                  columns,
                  planned.merged(),
                  planned.blocks(),
                  planned.num_blocks(),
                  planned.block_reading(),
                  groups.data(),
                  static_cast<int64_t>(groups.size()),
                  weights.get()};

  const Room<float> lines(logits.height * lanes);
  const Room<uint64_t> positive((logits.width + 1) * words_of(logits.height));
  const Room<uint32_t> turns(lanes * (rows.size + 1)), bounds(pixels + 2);
  const Scratch scratch{lines.get(), positive.get(), turns.get()};
  for (int64_t n = 0; n < logits.count; ++n) {
    double inside = 0;
    const float* map = logits.data + n * logits.height * logits.width;
    const Runs mask{bounds.get(), kernels.trace(plan, map, scratch, bounds.get(), inside)};
    measures.areas[n] = area(mask);
    // NaN where a logit makes it so, even outside the mask.
    const double pixels_inside = static_cast<double>(std::max<int64_t>(1, measures.areas[n]));
    measures.scores[n] = static_cast<float>(inside / pixels_inside);
    write_runs(mask, pixels, counts.emplace_back());
  }
  return true;
}

const char* logit_kernels_name() { return levels().name(); }

bool use_logit_kernels(const char* name) { return levels().use(name); }

}  // namespace vidgap::masks
