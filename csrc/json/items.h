// Where the items of a JSON list stand in its text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vidgap::json {

// Finds the items of a list whose text comes piece by piece, cut anywhere. Looks at brackets,
// commas and quotes only: what is between them is for a real parser to read.
class ItemScanner {
 public:
  // Takes the next piece. Appends begin and end of each item that ends in it, as positions in the
  // whole text. False where the text is no list; nothing more may be asked then.
  bool scan(std::string_view piece, std::vector<int64_t>& bounds);

  // Whether the list has ended. A text that ends before is no list.
  bool closed() const { return closed_; }

 private:
  const char* leave_string(const char* at, const char* end);

  int64_t position_ = 0;    // of the next piece
  int64_t depth_ = 0;       // of open brackets
  int64_t first_item_ = 0;  // where it begins
  int64_t item_ = 0;        // where the item at hand begins
  bool blank_ = true;       // nothing but spaces since then
  bool closed_ = false;
  bool in_string_ = false;
  bool escaped_ = false;  // the last piece ended in a string, behind a backslash that escapes
};

// Whether a string of the text holds a \u, with which a key may be written in another way.
bool has_unicode_escape(std::string_view text);

}  // namespace vidgap::json
