// The masks of an entry of a results file, read without a general parser.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vidgap::masks {

// A compressed string as JSON has it, between its quotes; without data for null.
struct QuotedCounts {
  std::string_view text;
  size_t num_escapes = 0;  // backslashes that stand before another one
};

// Finds the list of "segmentations" in an entry, [begin, end), and what is in it. False where any
// of it has another form than null or {"size": [H, W], "counts": "..."}, in this order or the
// other: then a parser must say what is wrong, if anything is.
bool find_masks(std::string_view entry, int64_t height, int64_t width, size_t& begin, size_t& end,
                std::vector<QuotedCounts>& masks);

// Writes the string without its escapes: text.size() - num_escapes characters.
void unquote(QuotedCounts counts, char* out);

}  // namespace vidgap::masks
