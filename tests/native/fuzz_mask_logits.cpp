// Random logits through the kernels that make masks of them, without Python, for sanitizers:
// fuzz_mask_logits CASES SEED. What comes out is compared with slow computations, pixel by pixel.
#include <cmath>

#include "fuzz_texts.h"
#include "masks/changes.h"
#include "masks/from_logits.h"

using namespace vidgap;

namespace {

constexpr double kRounding = 1e-4;  // of the largest logit that a pixel reads

// Taps in memory of just their size. Windows ascend, as rows must; inside them anything goes.
struct Axis {
  std::vector<int32_t> index;
  std::vector<float> weight;
  int64_t size, taps;

  Axis(int64_t length, int64_t size, int64_t taps) : size(size), taps(taps) {
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < size; ++i) starts.push_back(whole(0, length - 1));
    std::sort(starts.begin(), starts.end());
    const int64_t widest = whole(0, 3);
    for (int64_t i = 0; i < size; ++i) {
      const int64_t last = std::min(length - 1, starts[i] + widest);
      double sum = 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const bool is_end = tap == 0 || tap == taps - 1;
        index.push_back(static_cast<int32_t>(!is_end    ? whole(starts[i], last)
                                             : tap == 0 ? starts[i]
                                                        : last));
        weight.push_back(static_cast<float>(whole(0, 3) == 0 ? 0 : whole(1, 1000)));
        sum += weight.back();
      }
      for (int64_t tap = 0; tap < taps; ++tap) {
        float& share = weight[i * taps + tap];
        share = sum > 0 ? static_cast<float>(share / sum) : 1 / static_cast<float>(taps);
      }
    }
  }

  masks::Taps view() const { return {index.data(), weight.data(), size, taps}; }
};

float random_logit(int64_t kind) {
  const float wild[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.0f, -0.0f, 3e-41f};
  if (kind == 0 && whole(0, 9) == 0) return wild[whole(0, 7)];
  const double spread = kind == 1 ? 100 : 8;
  const double normal = std::normal_distribution<double>()(generator);
  return static_cast<float>(spread * normal - (kind == 2 ? 20 : 0));
}

struct Pixel {
  double value, largest;
};

Pixel pixel_of(const float* map, int64_t width, const Axis& rows, const Axis& columns, int64_t row,
               int64_t column) {
  Pixel pixel{0, 0};
  for (int64_t a = row * rows.taps; a < (row + 1) * rows.taps; ++a) {
    for (int64_t b = column * columns.taps; b < (column + 1) * columns.taps; ++b) {
      const double logit = map[rows.index[a] * width + columns.index[b]];
      pixel.value += double{rows.weight[a]} * columns.weight[b] * logit;
      if (std::isfinite(logit)) pixel.largest = std::max(pixel.largest, std::fabs(logit));
    }
  }
  return pixel;
}

void check_mask(const float* map, int64_t width, const Axis& rows, const Axis& columns,
                const std::string& text, float score, int64_t area) {
  const std::optional<Pixels> mask = decoded(text, rows.size * columns.size);
  check(mask.has_value(), "from_logits: a malformed string");
  double inside = 0;
  int64_t pixels = 0;
  bool is_sure = true;  // no number so large that its rounding is a probability
  for (int64_t column = 0; column < columns.size; ++column) {
    for (int64_t row = 0; row < rows.size; ++row) {
      const bool is_inside = (*mask)[static_cast<size_t>(column * rows.size + row)];
      const Pixel pixel = pixel_of(map, width, rows, columns, row, column);
      const bool is_near = std::fabs(pixel.value) <= kRounding * pixel.largest + 1e-30;
      is_sure = is_sure && !(is_near && pixel.largest > 1e6);
      check(is_near || is_inside == (pixel.value > 0), "from_logits: another pixel");
      pixels += is_inside;
      if (is_inside || std::isnan(pixel.value)) inside += 1 / (1 + std::exp(-pixel.value));
    }
  }
  check(area == pixels, "from_logits: area");
  const double wanted = pixels ? inside / static_cast<double>(pixels) : inside;
  check(!is_sure || (std::isnan(wanted) ? std::isnan(score) : std::fabs(score - wanted) < 1e-5),
        "from_logits: score");
}

void check_logits() {
  const bool is_tall = whole(0, 9) == 0;
  const int64_t height = is_tall ? whole(60, 140) : whole(1, 12), width = whole(1, 12);
  const Axis rows(height, whole(1, 40), whole(1, 4)), columns(width, whole(1, 40), whole(1, 4));
  const int64_t count = whole(0, 3), kind = whole(0, 3);
  std::vector<float> maps(static_cast<size_t>(count * height * width));
  for (float& logit : maps) logit = random_logit(kind);
  std::vector<float> scores(static_cast<size_t>(count));
  std::vector<int64_t> areas(static_cast<size_t>(count));
  std::vector<std::string> counts;
  check(masks::from_logits({maps.data(), count, height, width}, rows.view(), columns.view(), counts,
                           {scores.data(), areas.data()}),
        "from_logits: refuses what is right");
  check(static_cast<int64_t>(counts.size()) == count, "from_logits: another number of masks");
  for (int64_t n = 0; n < count; ++n) {
    const float* map = maps.data() + n * height * width;
    check_mask(map, width, rows, columns, counts[n], scores[n], areas[n]);
  }
}

void check_bad_taps() {
  Axis rows(5, 7, 2), columns(6, 9, 2);
  const int64_t wrong = whole(0, 5);
  if (wrong == 0) rows.index[whole(0, 13)] = 5;
  if (wrong == 1) columns.index[whole(0, 17)] = -1;
  if (wrong == 2) rows.weight[whole(0, 13)] = -0.1f;
  if (wrong == 3) columns.weight[whole(0, 17)] = NAN;
  if (wrong == 4) rows.taps = 5;
  if (wrong == 5) {
    rows.index[0] = rows.index[1] = 4;  // row 1 goes back
    rows.index[2] = rows.index[3] = 1;
  }
  const std::vector<float> map(30);
  float score;
  int64_t area;
  std::vector<std::string> counts;
  check(!masks::from_logits({map.data(), 1, 5, 6}, rows.view(), columns.view(), counts,
                            {&score, &area}),
        "from_logits: takes what is wrong");
}

void check_sigmoid() {
  const int32_t index = 0;
  const float weight = 1;
  const masks::Taps one{&index, &weight, 1, 1};
  for (double logit = 1e-6; logit < 300; logit *= 1.01) {
    const float map = static_cast<float>(logit);
    float score;
    int64_t area;
    std::vector<std::string> counts;
    check(masks::from_logits({&map, 1, 1, 1}, one, one, counts, {&score, &area}), "one pixel");
    check(std::fabs(score * (1 + std::exp(-double{map})) - 1) < 2e-7, "sigmoid");
  }
}

void check_changes() {
  const int64_t pixels = whole(1, 150), count = whole(0, 3);
  const int64_t words = masks::words_of_changes(pixels);
  std::vector<int32_t> index;
  std::vector<uint32_t> bits;
  std::vector<std::string> wanted;
  std::vector<int64_t> wanted_areas;
  for (int64_t n = 0; n < count; ++n) {
    const Pixels mask = *decoded(random_mask(pixels), pixels);
    std::vector<uint32_t> changed(static_cast<size_t>(words));
    std::vector<int64_t> lengths{0};
    bool last = false;
    wanted_areas.push_back(0);
    for (int64_t i = 0; i < pixels; ++i) {
      const bool now = mask[static_cast<size_t>(i)];
      if (now != last) {
        changed[i / 32] |= uint32_t{1} << (i % 32);
        lengths.push_back(0);
      }
      ++lengths.back();
      wanted_areas.back() += now;
      last = now;
    }
    if (last && pixels % 32 != 0) changed[pixels / 32] |= uint32_t{1} << (pixels % 32);
    for (int64_t word = 0; word < words; ++word) {
      if (changed[word] == 0) continue;
      index.push_back(static_cast<int32_t>(n * words + word));
      bits.push_back(changed[word]);
    }
    wanted.push_back(compressed(lengths));
  }
  const bool all_right = whole(0, 2) > 0 || index.empty();
  if (!all_right) {
    const size_t at = static_cast<size_t>(whole(0, static_cast<int64_t>(index.size()) - 1));
    if (whole(0, 1)) index[at] = static_cast<int32_t>(whole(-2, count * words + 2));
    bits[at] ^= uint32_t{1} << whole(0, 31);
  }
  std::vector<std::string> counts;
  std::vector<int64_t> areas(static_cast<size_t>(count));
  const bool taken =
      masks::from_changes({index.data(), bits.data(), static_cast<int64_t>(index.size())}, count,
                          pixels, counts, areas.data());
  if (!all_right) {  // anything but a fault, and no malformed string
    for (const std::string& text : counts) check(decoded(text, pixels).has_value(), "changes");
    return;
  }
  check(taken && counts == wanted, "from_changes: another mask");
  check(areas == wanted_areas, "from_changes: area");
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  const int64_t cases = std::atoll(words[1]);
  generator.seed(static_cast<uint64_t>(std::atoll(words[2])));
  check_sigmoid();
  for (int64_t i = 0; i < cases; ++i) {
    check_logits();
    check_bad_taps();
    check_changes();
  }
  std::printf("%lld cases agree\n", static_cast<long long>(cases));
  return 0;
}
