#include "masks/entry.h"

#include <cstring>

#include "json/reader.h"

namespace vidgap::masks {
namespace {

using json::Reader;

constexpr std::string_view kSegmentations = "\"segmentations\"";

void take_size(Reader& reader, int64_t height, int64_t width) {
  reader.take("\"size\"");
  reader.take(':');
  reader.take('[');
  if (reader.number() != height) reader.refuse();
  reader.take(',');
  if (reader.number() != width) reader.refuse();
  reader.take(']');
}

QuotedCounts counts_after(Reader& reader) {
  reader.take("\"counts\"");
  reader.take(':');
  reader.take('"');
  QuotedCounts counts;
  if (!reader.ok()) return counts;
  const std::string_view rest = reader.rest();
  size_t size = 0;
  // The characters of counts are '0' to 'o'; of these JSON escapes the backslash alone.
  for (; size < rest.size() && rest[size] >= '0' && rest[size] <= 'o'; ++size) {
    if (rest[size] != '\\') continue;
    ++counts.num_escapes;
    ++size;
    if (size == rest.size() || rest[size] != '\\') {
      reader.refuse();
      return counts;
    }
  }
  // The quote must come at once: spaces before it would be the string's.
  if (size == rest.size() || rest[size] != '"') {
    reader.refuse();
    return counts;
  }
  counts.text = rest.substr(0, size);
  reader.skip(size + 1);
  return counts;
}

QuotedCounts take_mask(Reader& reader, int64_t height, int64_t width) {
  if (!reader.take_if('{')) {
    reader.take("null");
    return {};
  }
  const bool size_is_first = reader.is_next("\"size\"");
  if (size_is_first) {
    take_size(reader, height, width);
    reader.take(',');
  }
  const QuotedCounts counts = counts_after(reader);
  if (!size_is_first) {
    reader.take(',');
    take_size(reader, height, width);
  }
  reader.take('}');
  return counts;
}

}  // namespace

bool find_masks(std::string_view entry, int64_t height, int64_t width, size_t& begin, size_t& end,
                std::vector<QuotedCounts>& masks) {
  const size_t key = entry.find(kSegmentations);
  if (key == std::string_view::npos || json::is_escaped(entry, key)) return false;
  Reader reader(entry, key + kSegmentations.size());
  reader.take(':');
  begin = reader.offset(entry);
  reader.take('[');
  if (!reader.take_if(']')) {
    do {
      masks.push_back(take_mask(reader, height, width));
    } while (reader.take_if(','));
    reader.take(']');
  }
  end = reader.offset(entry);
  return reader.ok();
}

void unquote(QuotedCounts counts, char* out) {
  const char* at = counts.text.data();
  const char* const end = at + counts.text.size();
  for (size_t escapes = counts.num_escapes; escapes > 0; --escapes) {
    const char* const escape = static_cast<const char*>(std::memchr(at, '\\', end - at));
    const size_t size = static_cast<size_t>(escape - at);
    std::memcpy(out, at, size);
    out += size;
    *out++ = '\\';
    at = escape + 2;
  }
  std::memcpy(out, at, end - at);
}

}  // namespace vidgap::masks
