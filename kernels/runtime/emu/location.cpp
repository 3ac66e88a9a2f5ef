#include "kernels/runtime/emu/location.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <cstdio>
#include <filesystem>

namespace graft::emu {
namespace {

struct Symbol {
  std::string function, file_and_line;
};

Symbol symbol(const void* address, ptrdiff_t back) {
  Dl_info info{};
  if (!dladdr(address, &info) || !info.dli_fname) return {fmt::format("{}", address), fmt::format("{}", address)};
  const auto offset = static_cast<const char*>(address) - static_cast<const char*>(info.dli_fbase) - back;
  const std::string module = std::filesystem::path(info.dli_fname).filename().string();
  Symbol s{fmt::format("{}+{:#x}", module, offset), fmt::format("{}+{:#x}", module, offset)};
  const std::string command = fmt::format("addr2line -Cfe '{}' {:#x} 2>/dev/null", info.dli_fname, offset);
  if (FILE* pipe = popen(command.c_str(), "r")) {
    char line[4096];
    if (std::fgets(line, sizeof line, pipe) && line[0] != '?') s.function = line;
    if (std::fgets(line, sizeof line, pipe) && line[0] != '?') s.file_and_line = line;
    pclose(pipe);
  }
  return s;
}

std::string short_file(std::string path) {
  path = path.substr(path.rfind('/') + 1);
  return path.substr(0, path.find_first_of(" \n"));
}

}  // namespace

std::string place(std::source_location w) { return fmt::format("{}:{}", short_file(w.file_name()), w.line()); }
std::string place(const void* return_address) { return short_file(symbol(return_address, 1).file_and_line); }

std::string FunctionName::str() const {
  std::string name = symbol(address, 0).function;
  constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  if (const auto at = name.find(kAnonymous); at != name.npos) name = name.substr(at + kAnonymous.size());
  for (std::string::size_type at; (at = name.find(kAnonymous)) != name.npos;) name.erase(at, kAnonymous.size());
  if (const auto at = name.rfind('('); at != name.npos && name.find('<') == name.npos) name.resize(at);
  if (const auto at = name.rfind(">("); at != name.npos) name.resize(at + 1);
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

}  // namespace graft::emu
