// Lists of run lengths in JSON, as YouTube-VIS has them, made into COCO's compressed strings.
#pragma once

#include <string>
#include <string_view>

namespace vidgap::masks {

// Returns the text with `"counts": "..."` for `"counts": [...]` where a `"size": [H, W]` stands
// directly before or behind and the counts sum to H*W. The rest stays as it is, right or wrong.
std::string with_compressed_counts(std::string_view text);

}  // namespace vidgap::masks
