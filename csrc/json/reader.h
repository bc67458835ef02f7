// Reads JSON whose form is known, and stops where it has another one.
#pragma once

#include <cstdint>
#include <string_view>

namespace vidgap::json {

// Reads what is expected; once something else came, nothing more.
class Reader {
 public:
  Reader(std::string_view text, size_t at)
      : at_(text.data() + at), end_(text.data() + text.size()) {}

  bool ok() const { return ok_; }
  void refuse() { ok_ = false; }
  std::string_view rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }
  void skip(size_t characters) { at_ += characters; }

  size_t offset(std::string_view text) const { return static_cast<size_t>(at_ - text.data()); }

  void spaces() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
  }

  bool take_if(char wanted) {
    spaces();
    if (!ok_ || at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  void take(char wanted) { ok_ = take_if(wanted) && ok_; }

  bool is_next(std::string_view wanted) {
    spaces();
    return ok_ && rest().substr(0, wanted.size()) == wanted;
  }

  void take(std::string_view wanted) {
    ok_ = is_next(wanted);
    if (ok_) at_ += wanted.size();
  }

  // A number from 0 on of at most nine digits; -1 where none comes.
  int64_t number() {
    spaces();
    const char* const first = at_;
    int64_t value = 0;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9' && at_ - first < 10) {
      value = 10 * value + (*at_++ - '0');
    }
    const auto digits = at_ - first;
    if (digits == 0 || digits > 9 || (digits > 1 && *first == '0')) ok_ = false;
    return ok_ ? value : -1;
  }

 private:
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// Whether the quote there is part of a string, not its end.
inline bool is_escaped(std::string_view text, size_t quote) {
  return quote > 0 && text[quote - 1] == '\\';
}

}  // namespace vidgap::json
