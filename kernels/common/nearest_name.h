// For error messages: what was probably meant.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace graft {

// The nearest of `names` if it is near enough to be a typing error, else "".
std::string nearest_name(std::string_view wrong, const std::vector<std::string>& names);

// "did you mean 'NAME'?", or "expected one of A, B, C" where none is near.
std::string did_you_mean(std::string_view wrong, const std::vector<std::string>& names);

}  // namespace graft
