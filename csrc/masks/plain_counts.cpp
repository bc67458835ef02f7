#include "masks/plain_counts.h"

#include <algorithm>
#include <cstdint>

#include "json/reader.h"
#include "masks/run_lengths.h"

namespace vidgap::masks {
namespace {

constexpr std::string_view kCounts = "\"counts\"", kSize = "\"size\"";
constexpr size_t kFarthestSize = 64;  // characters between a size and the counts behind it

using json::is_escaped;
using json::Reader;

// The pixels of `"size": [H, W]`.
int64_t read_pixels(Reader& reader) {
  reader.take(kSize);
  reader.take(':');
  reader.take('[');
  const int64_t height = reader.number();
  reader.take(',');
  const int64_t width = reader.number();
  reader.take(']');
  return reader.ok() ? height * width : -1;
}

// The pixels of the size that stands before the key at `key`; -1 where there is none.
int64_t pixels_before(std::string_view text, size_t key) {
  const size_t start = key - std::min(key, kFarthestSize);
  const size_t found = text.substr(start, key - start).rfind(kSize);
  if (found == std::string_view::npos || is_escaped(text, start + found)) return -1;
  Reader reader(text, start + found);
  const int64_t pixels = read_pixels(reader);
  reader.take(',');
  reader.spaces();
  return reader.ok() && reader.offset(text) == key ? pixels : -1;
}

// The pixels of the size that stands behind; -1 where there is none.
int64_t pixels_behind(Reader reader) {
  reader.take(',');
  return read_pixels(reader);
}

// Appends the string of the list that the reader is in front of; -1 or the sum of its counts.
int64_t append_compressed(Reader& reader, std::string& out) {
  const auto put = [&](char character) {
    if (character == '\\') out.push_back('\\');  // JSON's escape
    out.push_back(character);
  };
  int64_t before_last[2] = {0, 0};
  int64_t sum = 0;
  reader.take('[');
  for (int64_t index = 0; reader.ok(); ++index) {
    const int64_t count = reader.number();
    sum += count;
    put_number(count - (index > 2 ? before_last[index & 1] : 0), put);
    before_last[index & 1] = count;
    if (reader.take_if(']')) return sum;
    reader.take(',');
  }
  return -1;
}

}  // namespace

std::string with_compressed_counts(std::string_view text) {
  std::string out, counts;
  size_t copied = 0;
  for (size_t key = 0; (key = text.find(kCounts, key)) != std::string_view::npos;) {
    const size_t key_begin = key;
    Reader reader(text, key);
    reader.take(kCounts);
    key = reader.offset(text);
    reader.take(':');
    const size_t list = reader.offset(text);
    if (!reader.ok() || is_escaped(text, key_begin)) continue;
    counts.clear();
    const int64_t sum = append_compressed(reader, counts);
    const int64_t behind = sum < 0 ? -1 : pixels_behind(reader);
    if (sum < 0 || sum != (behind < 0 ? pixels_before(text, key_begin) : behind)) continue;
    out.append(text.substr(copied, list - copied)).append(" \"").append(counts).append("\"");
    copied = key = reader.offset(text);
  }
  return out.append(text.substr(copied));
}

}  // namespace vidgap::masks
