#include "kernels/common/versions.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>

#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"

namespace graft {
namespace {

auto& table() {
  static std::map<std::tuple<Op, Pass, Backend, DType>, std::vector<Version>> t;
  return t;
}

VersionChoice from_environment() {
  VersionChoice chosen{};
  const char* text = std::getenv("GRAFT_VERSION");
  std::string_view rest = text ? text : "";
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const auto equals = item.find('=');
    const std::string_view op = item.substr(0, equals), number = equals == item.npos ? "" : item.substr(equals + 1);
    int n = -1;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), n);
    check<ConfigError>(parsed.ec == std::errc{} && parsed.ptr == number.data() + number.size() && n >= 0 && n < 256,
                       "GRAFT_VERSION: expected op=number[,op=number], got '{}'", item);
    std::vector<std::string> names;
    bool found = false;
    for (int i = 0; i < kOps; ++i) {
      names.emplace_back(name(Op(i)));
      if (names.back() == op) chosen[size_t(i)] = uint8_t(n), found = true;
    }
    check<ConfigError>(found, "GRAFT_VERSION: no op '{}': {}", op, did_you_mean(op, names));
  }
  return chosen;
}

}  // namespace

const VersionChoice& environment_versions() {
  static const VersionChoice chosen = from_environment();
  return chosen;
}

size_t choose_version(Op op, int requested, std::span<const Version> all, std::span<const bool> accepts) {
  if (requested) {
    std::string numbers;
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].number == requested) {
        check<ConfigError>(accepts[i], "{}: version {} ({}) does not accept these arguments (version 1 accepts all)", name(op),
                           requested, all[i].name);
        return i;
      }
      numbers += fmt::format("{}{}", i ? ", " : "", all[i].number);
    }
    throw ConfigError(fmt::format("{}: no version {}: expected one of {}", name(op), requested, numbers));
  }
  for (size_t i = all.size(); i-- > 0;)
    if (accepts[i] && !all[i].by_request) return i;
  throw InternalError(fmt::format("{}: no version accepts these arguments", name(op)));
}

std::span<const Version> versions(Op op, Pass pass, Backend backend, DType dtype) {
  const auto found = table().find({op, pass, backend, dtype});
  return found == table().end() ? std::span<const Version>{} : found->second;
}

RegisterVersions::RegisterVersions(Op op, Pass pass, Backend backend, DType dtype, std::vector<Version> v) {
  table()[{op, pass, backend, dtype}] = std::move(v);
}

}  // namespace graft
