// Masks in JSON: lists of run lengths that become strings, and the masks of entries.
#include "fuzz_texts.h"
#include "masks/entry.h"
#include "masks/plain_counts.h"

using namespace vidgap;

namespace {

std::string space() {
  return std::string(static_cast<size_t>(whole(0, 4) / 4), " \n\t\r"[whole(0, 3)]);
}

std::string joined(const std::vector<int64_t>& numbers) {
  std::string text;
  for (const int64_t number : numbers) {
    text += (text.empty() ? "" : "," + space()) + std::to_string(number) + space();
  }
  return "[" + space() + text + "]";
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\\' ? "\\\\" : std::string(1, c);
  return out;
}

// A mask of the counts, written as they are; the size before or behind.
std::string mask(const std::string& counts, int64_t height, int64_t width) {
  const std::string size = "\"size\":" + space() + joined({height, width});
  const std::string key = space() + "\"counts\"" + space() + ": ";
  const std::string comma = space() + ",";
  return "{" + (whole(0, 1) ? size + comma + key + counts : key + counts + comma + space() + size) +
         space() + "}";
}

void check_plain_counts() {
  const int64_t height = whole(1, 9), width = whole(1, 90);
  std::vector<int64_t> counts;
  for (int64_t left = height * width; left > 0; left -= counts.back()) {
    counts.push_back(whole(0, left));
  }
  const bool right = whole(0, 3) > 0;
  if (!right) counts.back() += whole(1, 3);
  const std::string list = joined(counts), text = mask(list, height, width);
  std::string wanted = text;
  if (right) {
    const std::string before = ": ";
    const size_t at = text.find(before + list) + before.size();
    wanted.replace(at, list.size(), '"' + escaped(compressed(counts)) + '"');
  }
  const std::string got = masks::with_compressed_counts(Block(text).view());
  check(got == wanted, "with_compressed_counts");
  masks::with_compressed_counts(Block(mutated(text, "[]\"\\{}:, 0")).view());
}

void check_entry() {
  const int64_t height = whole(1, 9), width = whole(1, 9);
  std::vector<std::string> wanted;
  std::string list;
  for (int64_t i = whole(0, 3); i > 0; --i) {
    wanted.push_back(whole(0, 3) ? random_mask(height * width) : "");
    const std::string one = '"' + escaped(wanted.back()) + '"';
    list += wanted.back().empty() ? "null" : mask(one, height, width);
    list += i > 1 ? space() + "," + space() : space();
  }
  list = "[" + list + "]";
  const std::string text = "{\"segmentations\":" + list + ",\"score\":1}";
  size_t begin = 0, end = 0;
  std::vector<masks::QuotedCounts> found;
  const Block block(text);
  check(masks::find_masks(block.view(), height, width, begin, end, found), "find_masks: refuses");
  check(text.substr(begin, end - begin) == list, "find_masks: another list");
  check(found.size() == wanted.size(), "find_masks: another number");
  for (size_t i = 0; i < found.size(); ++i) {
    check((found[i].text.data() == nullptr) == wanted[i].empty(), "find_masks: null");
    std::string plain(found[i].text.size() - found[i].num_escapes, ' ');
    if (!wanted[i].empty()) masks::unquote(found[i], plain.data());
    check(plain == wanted[i], "find_masks: another string");
  }
  const Block wild(mutated(text, "[]\"\\{}:, 0n"));
  found.clear();
  if (!masks::find_masks(wild.view(), height, width, begin, end, found)) return;
  for (const masks::QuotedCounts& counts : found) {
    std::string plain(counts.text.size() - counts.num_escapes, ' ');
    if (counts.text.data() != nullptr) masks::unquote(counts, plain.data());
  }
}

}  // namespace

void check_mask_json() {
  check_plain_counts();
  check_entry();
}
