// Where the items of a JSON list stand in its text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vidgap::json {

// Appends begin and end of each item of the list that `text` holds. Looks at brackets, commas and
// quotes only: what is between them is for a real parser to read. False where the text is no list,
// or where brackets or quotes do not close.
bool append_items(std::string_view text, std::vector<int64_t>& bounds);

}  // namespace vidgap::json
