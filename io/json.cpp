#include "io/json.h"

#include <fmt/core.h>

#include <cmath>

namespace graft::io {

std::string json_quoted(std::string_view utf8) {
  std::string s = "\"";
  for (char c : utf8) {
    if (c == '"' || c == '\\') (s += '\\') += c;
    else if (uint8_t(c) < 0x20) s += fmt::format("\\u{:04x}", unsigned(c));
    else s += c;
  }
  return s + '"';
}

std::string json_number(double v) { return std::isfinite(v) ? fmt::format("{}", v) : "null"; }

}  // namespace graft::io
