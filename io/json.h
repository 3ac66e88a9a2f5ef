// JSON text without a library: what writing needs is a quoted string and a number.
#pragma once
#include <string>
#include <string_view>

namespace graft::io {

std::string json_quoted(std::string_view utf8);  // with the quotes
std::string json_number(double);                 // shortest text that reads back as the same value; null if not finite

}  // namespace graft::io
