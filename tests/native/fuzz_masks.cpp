// Random masks and JSON through the kernels of vidgap_vis without Python, for sanitizers:
// fuzz_masks CASES SEED. Texts lie in blocks of memory of just their size. What comes out is
// compared with slow computations, pixel by pixel and character by character.
#include "fuzz_texts.h"
#include "json/items.h"
#include "masks/bits.h"
#include "masks/boxed.h"
#include "masks/overlaps.h"
#include "masks/run_lengths.h"

using namespace vidgap;

namespace {

std::string wild_numbers() {
  const int64_t numbers[] = {
      0, 1, -1, 30, int64_t{1} << 31, (int64_t{1} << 34) - 1, -(int64_t{1} << 34)};
  std::vector<int64_t> counts;
  for (int64_t i = whole(1, 6); i > 0; --i) counts.push_back(numbers[whole(0, 6)]);
  return compressed(counts);
}

int64_t sum_of_both(const Pixels& first, const Pixels& second) {
  int64_t sum = 0;
  for (size_t i = 0; i < first.size(); ++i) sum += first[i] && second[i];
  return sum;
}

void check_string(int64_t pixels) {
  const int64_t kind = whole(0, 3);
  const std::string mask = random_mask(pixels);
  const Block text(kind == 0   ? mask
                   : kind == 1 ? mutated(mask, "0123PQo_`~/p")
                   : kind == 2 ? mutated("", "0123PQo_`~/p")
                               : wild_numbers());
  std::vector<uint32_t> bounds(text.view().size());
  const int64_t size = masks::read_runs(text.view(), pixels, bounds.data());
  const std::optional<Pixels> wanted = decoded(text.view(), pixels);
  check((size >= 0) == wanted.has_value(), "read_runs: accepts what is malformed, or does not");
  if (size < 0) return;
  bounds.resize(static_cast<size_t>(size));
  for (size_t i = 1; i < bounds.size(); ++i) check(bounds[i - 1] < bounds[i], "runs touch");
  const masks::Runs runs{bounds.data(), static_cast<int64_t>(bounds.size())};
  check(masks::area(runs) == sum_of_both(*wanted, *wanted), "area");
}

void check_box(int64_t rows, int64_t columns) {
  const Block text(random_mask(rows * columns));
  std::vector<uint32_t> bounds(text.view().size());
  const int64_t size = masks::read_runs(text.view(), rows * columns, bounds.data());
  const std::optional<Pixels> wanted = decoded(text.view(), rows * columns);
  check(size >= 0 && wanted.has_value(), "random_mask");
  const masks::Runs mask{bounds.data(), size};
  masks::Box least{columns, rows, 0, 0};
  int64_t right = 0, bottom = 0;
  for (int64_t at = 0; at < rows * columns; ++at) {
    if (!(*wanted)[at]) continue;
    least.left = std::min(least.left, at / rows);
    least.top = std::min(least.top, at % rows);
    right = std::max(right, at / rows + 1);
    bottom = std::max(bottom, at % rows + 1);
  }
  const masks::Box box = masks::box_of(mask, rows);
  if (right == 0) {
    check(!box.left && !box.top && !box.width && !box.height, "box of nothing");
  } else {
    check(box.left == least.left && box.top == least.top, "box: begin");
    check(box.left + box.width == right && box.top + box.height == bottom, "box: end");
  }
  std::vector<uint8_t> bytes(2 * wanted->size());  // transposed, after an empty mask
  std::copy(wanted->begin(), wanted->end(), bytes.begin() + rows * columns);
  int64_t found[8];
  masks::bounds_of(bytes.data(), 2, columns, rows, found);
  for (int64_t i = 0; i < 4; ++i) check(found[i] == 0, "bounds of nothing");
  check(found[4] == box.left && found[5] == box.left + box.width, "bounds: rows");
  check(found[6] == box.top && found[7] == box.top + box.height, "bounds: columns");
  std::vector<uint8_t> pixels(static_cast<size_t>(box.width * box.height), 7);
  masks::fill_box(mask, rows, box, pixels.data());
  for (int64_t x = 0; x < box.width; ++x) {
    for (int64_t y = 0; y < box.height; ++y) {
      const bool inside = (*wanted)[(box.left + x) * rows + box.top + y];
      check(pixels[x * box.height + y] == inside, "box: pixel");
    }
  }
}

void check_bits(int64_t words) {
  const int64_t num_first = whole(0, 4), num_second = whole(0, 4);
  std::vector<uint64_t> bits(static_cast<size_t>((num_first + num_second) * words));
  for (uint64_t& word : bits) {
    const int64_t kind = whole(0, 3);
    word = kind == 0 ? generator() : kind == 1 ? ~uint64_t{0} : 0;
  }
  std::vector<int32_t> shared(static_cast<size_t>(num_first * num_second), -1);
  const uint64_t* const second = bits.data() + num_first * words;
  masks::shared_bits({bits.data(), num_first}, {second, num_second}, words, shared.data());
  for (int64_t n = 0; n < num_first; ++n) {
    for (int64_t m = 0; m < num_second; ++m) {
      int32_t wanted = 0;
      for (int64_t bit = 0; bit < 64 * words; ++bit) {
        const uint64_t both = bits[n * words + bit / 64] & second[m * words + bit / 64];
        wanted += both >> (bit % 64) & 1;
      }
      check(shared[n * num_second + m] == wanted, "shared_bits");
    }
  }
}

void check_overlaps(int64_t pixels) {
  const int64_t num_found = whole(0, 3), num_true = whole(0, 3), frames = whole(0, 3);
  const int64_t total = (num_found + num_true) * frames;
  const bool all_right = whole(0, 2) > 0;
  std::vector<Block> blocks;
  std::vector<bool> absent;
  for (int64_t i = 0; i < total; ++i) {
    const std::string mask = random_mask(pixels);
    blocks.emplace_back(all_right || whole(0, 4) ? mask : mutated(mask, "0o"));
    absent.push_back(whole(0, 4) == 0);
  }
  std::vector<std::string_view> texts;
  std::vector<std::optional<Pixels>> wanted;
  for (int64_t i = 0; i < total; ++i) {
    texts.push_back(absent[i] ? std::string_view() : blocks[i].view());
    wanted.push_back(absent[i] ? Pixels(static_cast<size_t>(pixels)) : decoded(texts[i], pixels));
  }
  std::vector<int64_t> found_areas(num_found * frames), true_areas(num_true * frames);
  std::vector<int32_t> shared(frames * num_found * num_true);
  const int64_t bad =
      masks::overlaps({texts.data(), num_found}, {texts.data() + num_found * frames, num_true},
                      frames, pixels, {found_areas.data(), true_areas.data(), shared.data()});
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t m = 0; m < num_found + num_true; ++m) {
      if (wanted[m * frames + t]) continue;
      check(bad == m * frames + t, "overlaps: another malformed mask");
      return;
    }
  }
  check(bad == -1, "overlaps: refuses what is right");
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t n = 0; n < num_true; ++n) {
      const Pixels& truth = *wanted[(num_found + n) * frames + t];
      check(true_areas[n * frames + t] == sum_of_both(truth, truth), "overlaps: area of a truth");
      for (int64_t d = 0; d < num_found; ++d) {
        const Pixels& found = *wanted[d * frames + t];
        check(shared[(t * num_found + d) * num_true + n] == sum_of_both(found, truth), "shared");
      }
    }
    for (int64_t d = 0; d < num_found; ++d) {
      const Pixels& found = *wanted[d * frames + t];
      check(found_areas[d * frames + t] == sum_of_both(found, found), "overlaps: area of a found");
    }
  }
}

std::string random_json(int depth) {
  const std::string space(static_cast<size_t>(whole(0, 1)), " \n\t\r"[whole(0, 3)]);
  const int64_t kind = whole(0, depth > 0 ? 3 : 1);
  if (kind == 0) return space + "-1.5e3" + space;
  std::string text;
  if (kind == 1) {
    const char* parts[] = {"a", "\\\\", "\\\"", "[", "{", "]", "}", ",", ":"};
    for (int64_t i = whole(0, 4); i > 0; --i) text += parts[whole(0, 8)];
    return space + '"' + text + '"' + space;
  }
  for (int64_t i = whole(0, 3); i > 0; --i) {
    text += (kind == 3 ? "\"k\":" : "") + random_json(depth - 1) + (i > 1 ? "," : "");
  }
  return space + (kind == 2 ? '[' + text + ']' : '{' + text + '}') + space;
}

// The definition, one character after another.
std::optional<std::vector<std::string>> slow_items(const std::string& text) {
  const std::string spaces = " \n\t\r";
  size_t at = text.find_first_not_of(spaces);
  if (at == std::string::npos || text[at] != '[') return std::nullopt;
  std::vector<std::string> items;
  std::string item;
  bool in_string = false, escaped = false, closed = false;
  int64_t depth = 1;
  for (++at; at < text.size() && !closed; ++at) {
    const char c = text[at];
    if (in_string) {
      if (escaped) {
        escaped = false;
      } else {
        escaped = c == '\\';
        in_string = c != '"';
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    }
    closed = depth == 0;
    if (closed && c != ']') return std::nullopt;
    if (!closed && !(depth == 1 && c == ',' && !in_string)) {
      item += c;
      continue;
    }
    const bool blank = item.find_first_not_of(spaces) == std::string::npos;
    if (!(closed && items.empty() && blank)) items.push_back(item);
    item.clear();
  }
  if (!closed || text.find_first_not_of(spaces, at) != std::string::npos) return std::nullopt;
  return items;
}

void check_items() {
  std::string text = '[' + random_json(2);
  for (int64_t i = whole(0, 2); i > 0; --i) text += ',' + random_json(3);
  text = whole(0, 5) == 0 ? " []" : text + ']';
  if (whole(0, 1)) text = mutated(text, "\\\"[]{},: ");
  const auto wanted = slow_items(text);
  json::ItemScanner scanner;
  std::vector<int64_t> bounds;
  bool is_list = true;
  for (size_t at = 0; at < text.size() && is_list;) {
    const Block piece(text.substr(at, static_cast<size_t>(whole(0, 9))));
    is_list = scanner.scan(piece.view(), bounds);
    at += piece.view().size();
  }
  is_list = is_list && scanner.closed();
  check(is_list == wanted.has_value(), "items: takes what is no list, or does not take a list");
  if (!is_list) return;
  check(bounds.size() == 2 * wanted->size(), "items: another number of them");
  for (size_t i = 0; i < wanted->size(); ++i) {
    const size_t begin = static_cast<size_t>(bounds[2 * i]);
    const size_t length = static_cast<size_t>(bounds[2 * i + 1]) - begin;
    check(text.substr(begin, length) == (*wanted)[i], "items: another one");
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  const int64_t cases = std::atoll(words[1]);
  generator.seed(static_cast<uint64_t>(std::atoll(words[2])));
  for (int64_t i = 0; i < cases; ++i) {
    check_string(whole(1, 80));
    check_overlaps(whole(1, 40));
    check_box(whole(1, 9), whole(1, 9));
    check_bits(whole(0, 4));
    check_items();
    check_mask_json();
  }
  // As many pixels as there may be, in a few runs.
  const int64_t most = masks::kMostPixels;
  for (const int64_t length : {int64_t{1}, most / 2, most}) {
    const std::string text = compressed({most - length, length});
    std::vector<uint32_t> bounds(text.size());
    check(masks::read_runs(text, most, bounds.data()) == 2, "most pixels");
    check(masks::area({bounds.data(), 2}) == length, "area of most pixels");
    const masks::Runs runs{bounds.data(), 2};
    check(masks::intersection(runs, runs) == length, "intersection of most pixels");
    const std::string more = compressed({most - length, length + 1});
    std::vector<uint32_t> room(more.size());
    check(masks::read_runs(more, most, room.data()) == -1, "too many");
  }
  std::printf("%lld cases agree\n", static_cast<long long>(cases));
  return 0;
}
