#include "masks/run_lengths.h"

#include <algorithm>

namespace vidgap::masks {
namespace {

constexpr int kMostCharacters = 7;  // of a number

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

bool append_runs(std::string_view text, int64_t pixels, std::vector<uint32_t>& bounds) {
  if (text.empty()) return false;
  const size_t start = bounds.size();
  // A number is a difference to the count before last, but for the first three.
  int64_t count_before_last[2] = {0, 0};
  int64_t position = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int64_t index = 0; at != end; ++index) {
    int64_t number = 0;
    int shift = 0;
    unsigned digit;
    do {
      if (at == end || shift == 5 * kMostCharacters) return false;
      digit = static_cast<unsigned char>(*at++) - unsigned{'0'};
      if (digit > 63) return false;
      number |= static_cast<int64_t>(digit & 31) << shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16) number -= int64_t{1} << shift;
    int64_t& before_last = count_before_last[index & 1];
    const int64_t count = number + (index > 2 ? before_last : 0);
    before_last = count;
    if (count < 0 || count > pixels - position) return false;
    if ((index & 1) && count > 0) {
      if (bounds.size() > start && bounds.back() == position) {
        bounds.pop_back();  // goes on where the last run ended
      } else {
        bounds.push_back(static_cast<uint32_t>(position));
      }
      bounds.push_back(static_cast<uint32_t>(position + count));
    }
    position += count;
  }
  return position == pixels;
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
