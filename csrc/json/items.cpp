#include "json/items.h"

#include <cstring>

namespace vidgap::json {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

bool ItemScanner::scan(std::string_view piece, std::vector<int64_t>& bounds) {
  const char* const begin = piece.data();
  const char* const end = begin + piece.size();
  const char* at = begin;
  while (at != end) {
    if (in_string_) {
      at = leave_string(at, end);
      continue;
    }
    const char c = *at++;
    if (is_space(c)) continue;
    const int64_t behind = position_ + (at - begin);
    if (depth_ == 0) {
      if (closed_ || c != '[') return false;
      depth_ = 1;
      first_item_ = item_ = behind;
      continue;
    }
    if (c == '"') {
      in_string_ = true;
    } else if (c == '[' || c == '{') {
      ++depth_;
    } else if (c == ']' || c == '}') {
      --depth_;
    }
    closed_ = depth_ == 0;
    if (closed_ && c != ']') return false;
    if (closed_ || (depth_ == 1 && c == ',')) {
      const bool is_empty_list = closed_ && blank_ && item_ == first_item_;
      if (!is_empty_list) bounds.insert(bounds.end(), {item_, behind - 1});
      item_ = behind;
      blank_ = true;
    } else {
      blank_ = false;
    }
  }
  position_ += static_cast<int64_t>(piece.size());
  return true;
}

// Returns where the string ends that goes on at `at`; `end`, where this piece does not end it.
const char* ItemScanner::leave_string(const char* at, const char* end) {
  const char* const begin = at;
  while (at != end) {
    const char* const quote = static_cast<const char*>(std::memchr(at, '"', end - at));
    const char* const stop = quote == nullptr ? end : quote;
    const char* first = stop;
    while (first != begin && first[-1] == '\\') --first;
    const bool odd = (stop - first) % 2 == 1, before = first == begin && escaped_;
    const bool escaped = odd != before;
    if (quote == nullptr) {
      escaped_ = escaped;
      return end;
    }
    at = quote + 1;
    if (!escaped) {
      in_string_ = escaped_ = false;
      return at;
    }
  }
  escaped_ = false;  // the last character was an escaped quote
  return end;
}

bool has_unicode_escape(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const char* const escape = static_cast<const char*>(std::memchr(at, '\\', end - at));
    if (escape == nullptr || escape + 1 == end) return false;
    if (escape[1] == 'u') return true;
    at = escape + 2;
  }
  return false;
}

}  // namespace vidgap::json
