// Random masks and texts for the fuzzing of vidgap_vis's kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

inline std::mt19937_64 generator;

inline int64_t whole(int64_t from, int64_t to) {
  return std::uniform_int_distribution<int64_t>(from, to)(generator);
}

inline void check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

// A copy without a byte behind it, so that the sanitizer sees what reads on.
class Block {
 public:
  explicit Block(const std::string& text) : size_(text.size()), memory_(new char[text.size()]) {
    text.copy(memory_.get(), size_);
  }
  std::string_view view() const { return {memory_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<char[]> memory_;
};

inline std::string compressed(const std::vector<int64_t>& counts) {
  std::string text;
  for (size_t i = 0; i < counts.size(); ++i) {
    int64_t number = counts[i] - (i > 2 ? counts[i - 2] : 0);
    bool last = false;
    while (!last) {
      const int64_t low = number & 31;
      number >>= 5;
      last = number == (low & 16 ? -1 : 0);
      text += static_cast<char>(48 + low + (last ? 0 : 32));
    }
  }
  return text;
}

using Pixels = std::vector<bool>;

// The definition: numbers first, then counts, then pixels; nothing where one of them is wrong.
inline std::optional<Pixels> decoded(std::string_view text, int64_t pixels) {
  std::vector<int64_t> counts;
  for (size_t at = 0; at < text.size();) {
    std::vector<int> digits;
    do {
      if (at == text.size()) return std::nullopt;
      digits.push_back(static_cast<unsigned char>(text[at++]) - 48);
      if (digits.back() < 0 || digits.back() > 63 || digits.size() > 7) return std::nullopt;
    } while (digits.back() >= 32);
    int64_t number = digits.back() >= 16 ? -1 : 0;
    for (size_t i = digits.size(); i-- > 0;) number = number * 32 + digits[i] % 32;
    counts.push_back(number + (counts.size() > 2 ? counts[counts.size() - 2] : 0));
  }
  Pixels mask;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0 || counts[i] > pixels) return std::nullopt;
    mask.insert(mask.end(), static_cast<size_t>(counts[i]), i % 2 == 1);
    if (static_cast<int64_t>(mask.size()) > pixels) return std::nullopt;
  }
  if (text.empty() || static_cast<int64_t>(mask.size()) != pixels) return std::nullopt;
  return mask;
}

inline std::string random_mask(int64_t pixels) {
  std::vector<int64_t> counts;
  const int64_t longest = whole(1, pixels);
  for (int64_t left = pixels; left > 0;) {
    counts.push_back(whole(0, 3) == 0 ? 0 : whole(0, std::min(left, longest)));
    left -= counts.back();
  }
  if (whole(0, 3) == 0) counts.push_back(0);
  return compressed(counts);
}

inline std::string mutated(std::string text, const std::string& alphabet) {
  const int64_t times = whole(1, 3);
  for (int64_t i = 0; i < times; ++i) {
    const size_t at = static_cast<size_t>(whole(0, static_cast<int64_t>(text.size())));
    const char wild = whole(0, 1) ? alphabet[static_cast<size_t>(whole(0, alphabet.size() - 1))]
                                  : static_cast<char>(whole(0, 255));
    if (whole(0, 2) == 0 || at == text.size()) {
      text.insert(at, 1, wild);
    } else if (whole(0, 1)) {
      text.erase(at, static_cast<size_t>(whole(1, 5)));
    } else {
      text[at] = wild;
    }
  }
  return text;
}

// One case of fuzz_mask_json.cpp.
void check_mask_json();
