#include "masks/run_lengths.h"

#include <algorithm>

namespace vidgap::masks {
namespace {

constexpr int kMostCharacters = 7;  // of a number

unsigned digit_of(char character) {
  return static_cast<unsigned char>(character) - unsigned{'0'};  // wraps round below '0'
}

// Reads a number of any length and moves `at` behind it; false where it is malformed.
bool read_number(const char*& at, const char* end, int64_t& number) {
  number = 0;
  int shift = 0;
  unsigned digit;
  do {
    if (at == end || shift == 5 * kMostCharacters) return false;
    digit = digit_of(*at++);
    if (digit > 63) return false;
    number |= static_cast<int64_t>(digit & 31) << shift;
    shift += 5;
  } while (digit & 32);
  if (digit & 16) number -= int64_t{1} << shift;
  return true;
}

// The same. Nearly all numbers have one or two characters, which of them nobody can guess: those
// are read without a branch.
inline bool read_short_number(const char*& at, const char* end, int64_t& number) {
  if (end - at < 2) return read_number(at, end, number);
  const unsigned first = digit_of(at[0]), second = digit_of(at[1]);
  const unsigned two = first >> 5;
  if (two > 1 || (two & (second > 31))) return read_number(at, end, number);
  const uint64_t bits = (first & 31) | ((second << 5) & (0u - two));
  const int unused = 59 - 5 * static_cast<int>(two);
  number = static_cast<int64_t>(bits << unused) >> unused;
  at += 1 + two;
  return true;
}

// The index of the first run that ends after `position`.
int64_t first_run_behind(Runs mask, uint32_t position) {
  int64_t low = 0, high = mask.size / 2;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (mask.bounds[2 * middle + 1] > position) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace

int64_t read_runs(std::string_view text, int64_t pixels, uint32_t* bounds) {
  if (text.empty()) return -1;
  const char* at = text.data();
  const char* const end = at + text.size();
  uint32_t* next = bounds;
  // A number is a difference to the count before last, but for the first three.
  int64_t last_gap = 0, last_run = 0;
  int64_t position = 0;
  for (bool is_first = true; at != end; is_first = false) {
    int64_t gap, run = 0;
    if (!read_short_number(at, end, gap)) return -1;
    gap += last_gap;
    const bool has_run = at != end;
    if (has_run && !read_short_number(at, end, run)) return -1;
    run += has_run ? last_run : 0;
    const int64_t begin = position + gap;
    if ((gap | run) < 0 || run > pixels - begin) return -1;
    last_gap = is_first ? 0 : gap;
    last_run = run;
    position = begin + run;
    if (run == 0) continue;
    if (next != bounds && next[-1] == begin) {
      --next;  // goes on where the last run ended
    } else {
      *next++ = static_cast<uint32_t>(begin);
    }
    *next++ = static_cast<uint32_t>(position);
  }
  return position == pixels ? next - bounds : -1;
}

void write_runs(Runs mask, int64_t pixels, std::string& text) {
  const auto put = [&](char character) { text.push_back(character); };
  const bool ends_outside = mask.size == 0 || mask.bounds[mask.size - 1] != pixels;
  int64_t before_last[2] = {0, 0};
  int64_t position = 0;
  for (int64_t i = 0; i < mask.size + ends_outside; ++i) {
    const int64_t next = i < mask.size ? int64_t{mask.bounds[i]} : pixels;
    const int64_t count = next - position;
    put_number(count - (i > 2 ? before_last[i & 1] : 0), put);
    before_last[i & 1] = count;
    position = next;
  }
}

int64_t area(Runs mask) {
  int64_t sum = 0;
  for (int64_t i = 0; i < mask.size; i += 2) sum += mask.bounds[i + 1] - mask.bounds[i];
  return sum;
}

int64_t intersection(Runs first, Runs second) {
  if (first.size == 0 || second.size == 0) return 0;
  int64_t i = first_run_behind(first, second.bounds[0]);
  int64_t j = first_run_behind(second, first.bounds[0]);
  const int64_t num_first = first.size / 2, num_second = second.size / 2;
  int64_t sum = 0;
  // The run that ends first is done. Without a branch, for which of the two it is nobody can guess.
  while (i < num_first && j < num_second) {
    const int64_t first_end = first.bounds[2 * i + 1], second_end = second.bounds[2 * j + 1];
    const int64_t begin = std::max(first.bounds[2 * i], second.bounds[2 * j]);
    sum += std::max<int64_t>(0, std::min(first_end, second_end) - begin);
    const bool done = first_end <= second_end;
    i += done;
    j += !done;
  }
  return sum;
}

}  // namespace vidgap::masks
