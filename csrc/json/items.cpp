#include "json/items.h"

#include <cstring>

namespace vidgap::json {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Returns the end of the string whose opening quote is before `at`; nullptr where it does not end.
const char* skip_string(const char* at, const char* end) {
  while (at != end) {
    const char* quote = static_cast<const char*>(std::memchr(at, '"', end - at));
    if (quote == nullptr) return nullptr;
    const char* first = quote;
    while (first != at && first[-1] == '\\') --first;
    at = quote + 1;
    if ((quote - first) % 2 == 0) return at;
  }
  return nullptr;
}

}  // namespace

bool append_items(std::string_view text, std::vector<int64_t>& bounds) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* at = begin;
  while (at != end && is_space(*at)) ++at;
  if (at == end || *at != '[') return false;
  const char* const first_item = ++at;
  const char* item = first_item;
  bool blank = true;  // nothing but spaces since the item began
  int64_t depth = 1;
  while (at != end) {
    const char c = *at++;
    if (is_space(c)) continue;
    if (c == '"') {
      at = skip_string(at, end);
      if (at == nullptr) return false;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    }
    const bool closes = depth == 0;
    if (closes && c != ']') return false;
    if (closes || (depth == 1 && c == ',')) {
      const bool is_empty_list = closes && blank && item == first_item;
      if (!is_empty_list) bounds.insert(bounds.end(), {item - begin, at - 1 - begin});
      item = at;
      blank = true;
      if (closes) break;
    } else {
      blank = false;
    }
  }
  if (depth != 0) return false;
  while (at != end && is_space(*at)) ++at;
  return at == end;
}

}  // namespace vidgap::json
