// The outline of a mask from its logits. Compiled with -DVIDGAP_KERNELS=<name> for every
// instruction set; all but that name is local to the file, so that the linker mixes nothing.
//
// As many columns of the mask as a vector has lanes are followed down their rows together. Their
// share of the columns of logits is summed once a row of logits ("lines"), of which a row of the
// mask is a sum of two or three. Where no logit that could matter is above 0, rows are skipped:
// bits of the logits' signs, a column after the other, say where.
#include "masks/logit_kernels.h"

#include "common/simd.h"
#include "masks/sigmoid.h"

#ifndef VIDGAP_KERNELS
#define VIDGAP_KERNELS kKernelsBaseline
#endif

namespace vidgap::masks {
namespace {

using Floats = Vector<float>;
constexpr int kWide = kLanes<float>;

// The first set bit from `from` on; `size` where there is none.
inline int64_t next_bit(const uint64_t* words, int64_t from, int64_t size) {
  if (from >= size) return size;
  int64_t word = from / 64;
  uint64_t bits = words[word] & (~uint64_t{0} << (from % 64));
  while (bits == 0) {
    if (++word == words_of(size)) return size;
    bits = words[word];
  }
  return 64 * word + __builtin_ctzll(bits);
}

// Sets the bits of the logits above 0, (width, words); returns whether all logits are finite.
bool mark_positive(const Plan& plan, const float* logits, uint64_t* positive) {
  const int64_t words = words_of(plan.height);
  for (int64_t i = 0; i < plan.width * words; ++i) positive[i] = 0;
  Floats poison = {};
  float poison_of_rest = 0;
  for (int64_t row = 0; row < plan.height; ++row, logits += plan.width) {
    const uint64_t bit = uint64_t{1} << (row % 64);
    uint64_t* const marks = positive + row / 64;
    int64_t x = 0;
    for (; x + kWide <= plan.width; x += kWide) {
      Floats values;
      __builtin_memcpy(&values, logits + x, sizeof values);
      poison += values * 0;
      for (uint32_t lanes = positive_lanes(values); lanes != 0; lanes &= lanes - 1) {
        marks[(x + __builtin_ctz(lanes)) * words] |= bit;
      }
    }
    for (; x < plan.width; ++x) {
      poison_of_rest += logits[x] * 0;
      if (logits[x] > 0) marks[x * words] |= bit;
    }
  }
  for (int lane = 0; lane < kWide; ++lane) poison_of_rest += poison[lane];
  return poison_of_rest == 0;
}

// What is known of a group's columns while their rows are followed.
struct Columns {
  uint32_t* turns;  // (lanes, rows + 1): the rows at which a column enters or leaves the mask
  int64_t rows;
  int64_t count[kWide] = {};
  uint32_t lanes = 0;  // those inside the mask
  Floats inside = {};  // sums of probabilities

  void turn(uint32_t next, int64_t row) {
    for (uint32_t changed = lanes ^ next; changed != 0; changed &= changed - 1) {
      const int lane = __builtin_ctz(changed);
      turns[lane * (rows + 1) + count[lane]++] = static_cast<uint32_t>(row);
    }
    lanes = next;
  }
};

// Follows finite logits.
template <int kTaps>
void follow(const Plan& plan, const float* logits, const Group& group, const uint64_t* positive,
            Floats* lines, Columns& columns) {
  const float* weights = plan.weights + group.offset;
  int64_t summed = 0;  // lines before this one are there, or not needed any more
  for (int64_t b = 0; b < plan.num_blocks;) {
    const int64_t row = next_bit(positive, plan.blocks[b].first, plan.height);
    if (row > plan.blocks[b].last) {
      columns.turn(0, plan.blocks[b].begin);
      b = row < plan.height ? plan.block_reading[row] : plan.num_blocks;
      if (b == plan.num_blocks) break;
    }
    const Block& block = plan.blocks[b++];
    for (summed = summed < block.first ? block.first : summed; summed <= block.last; ++summed) {
      const float* values = logits + summed * plan.width + group.first;
      Floats sum = {};
      for (int64_t x = 0; x < group.count; ++x) {
        sum += values[x] * reinterpret_cast<const Floats*>(weights)[x];
      }
      lines[summed] = sum;
    }
    Floats inside = {};
    for (int64_t i = block.begin; i < block.end; ++i) {
      const int32_t* index = plan.merged_rows.index + i * kTaps;
      const float* share = plan.merged_rows.weight + i * kTaps;
      Floats value = share[0] * lines[index[0]];
      for (int tap = 1; tap < kTaps; ++tap) value += share[tap] * lines[index[tap]];
      columns.turn(positive_lanes(value), i);
      if (columns.lanes != 0) inside += value > 0 ? sigmoid(value) : Floats{};
    }
    columns.inside += inside;
  }
  columns.turn(0, plan.rows.size);
}

// Follows logits of which some are NaN or infinite: each pixel is interpolated from just its taps,
// weights of 0 too, as the definition in PyTorch does.
void follow_any(const Plan& plan, const float* logits, int64_t first, Columns& columns) {
  const Taps &down = plan.rows, &across = plan.columns;
  const int64_t count = across.size - first < kWide ? across.size - first : kWide;
  for (int64_t i = 0; i < down.size; ++i) {
    Floats value = {};
    for (int64_t lane = 0; lane < count; ++lane) {
      float sum = 0;
      for (int64_t a = 0; a < down.taps; ++a) {
        const float* row = logits + down.index[i * down.taps + a] * plan.width;
        for (int64_t b = 0; b < across.taps; ++b) {
          const int64_t tap = (first + lane) * across.taps + b;
          sum += down.weight[i * down.taps + a] * across.weight[tap] * row[across.index[tap]];
        }
      }
      value[lane] = sum;
    }
    columns.turn(positive_lanes(value), i);
    const Floats nan = value == value ? Floats{} : value;
    columns.inside += value > 0 ? sigmoid(value) : nan;
  }
  columns.turn(0, down.size);
}

// Appends what was noted of a group's columns to the bounds of the mask's runs.
int64_t append(const Columns& columns, int64_t first, int64_t num_columns, uint32_t* bounds,
               int64_t size) {
  for (int64_t lane = 0; lane < kWide && first + lane < num_columns; ++lane) {
    const uint32_t* turns = columns.turns + lane * (columns.rows + 1);
    const uint32_t start = static_cast<uint32_t>((first + lane) * columns.rows);
    for (int64_t i = 0; i < columns.count[lane]; ++i) {
      const uint32_t bound = start + turns[i];
      if (size != 0 && bounds[size - 1] == bound) {
        --size;  // goes on where the last column ended
      } else {
        bounds[size++] = bound;
      }
    }
  }
  return size;
}

int64_t trace(const Plan& plan, const float* logits, const Scratch& scratch, uint32_t* bounds,
              double& inside) {
  const int64_t words = words_of(plan.height);
  const bool finite = mark_positive(plan, logits, scratch.positive);
  uint64_t* const positive = scratch.positive + plan.width * words;  // of a group's columns
  auto* const lines = reinterpret_cast<Floats*>(scratch.lines);
  int64_t size = 0;
  for (int64_t g = 0; g < plan.num_groups; ++g) {
    const Group& group = plan.groups[g];
    Columns columns;
    columns.turns = scratch.turns;
    columns.rows = plan.rows.size;
    if (finite) {
      uint64_t any = 0;
      for (int64_t word = 0; word < words; ++word) {
        uint64_t bits = 0;
        for (int64_t x = 0; x < group.count; ++x) {
          bits |= scratch.positive[(group.first + x) * words + word];
        }
        positive[word] = bits;
        any |= bits;
      }
      if (any == 0) continue;
      switch (plan.merged_rows.taps) {
        case 1: follow<1>(plan, logits, group, positive, lines, columns); break;
        case 2: follow<2>(plan, logits, group, positive, lines, columns); break;
        case 3: follow<3>(plan, logits, group, positive, lines, columns); break;
        default: follow<4>(plan, logits, group, positive, lines, columns);
      }
    } else {
      follow_any(plan, logits, g * kWide, columns);
    }
    size = append(columns, g * kWide, plan.columns.size, bounds, size);
    for (int lane = 0; lane < kWide; ++lane) inside += columns.inside[lane];
  }
  return size;
}

}  // namespace

const LogitKernels VIDGAP_KERNELS = {kWide, trace};

}  // namespace vidgap::masks
