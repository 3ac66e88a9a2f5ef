#pragma once
#include <fmt/core.h>

#include <algorithm>
#include <source_location>
#include <string>

namespace graft::emu {

std::string place(std::source_location);        // activation_kernels.cuh:52
std::string place(const void* return_address);  // the same of machine code, by addr2line; the module and offset without it

// The function at an address, without namespaces and parameters. Looked up when it is formatted: a launch that passes its checks
// runs no addr2line, which takes longer than many a kernel.
struct FunctionName {
  std::string str() const;
  const void* address;
};
inline FunctionName function_name(const void* address) { return {address}; }

}  // namespace graft::emu

template <>
struct fmt::formatter<graft::emu::FunctionName> {
  constexpr auto parse(fmt::format_parse_context& c) { return c.begin(); }
  template <class C>
  auto format(const graft::emu::FunctionName& f, C& c) const {
    const std::string s = f.str();
    return std::copy(s.begin(), s.end(), c.out());  // no symbol of libfmt, whose mangled name clang writes otherwise than GCC
  }
};
