#include "transfer/freeze.h"

#include <fmt/format.h>

#include <optional>

#include "nn/chain.h"

namespace graft::transfer {
namespace {

std::vector<std::string_view> split_list(std::string_view s) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t comma = s.find(',');
    std::string_view part = s.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    parts.push_back(part);
    if (comma == s.npos) return parts;
    s.remove_prefix(comma + 1);
  }
}

std::optional<int> find_block(const nn::Chain& chain, std::string_view name) {
  for (int i = 0; i < chain.size(); ++i)
    if (chain.name(i) == name) return i;
  return {};
}

// "conv1-conv3", "features.0-features.4" and "features.0-4"; names may themselves hold a '-'.
std::optional<std::pair<int, int>> find_range(const nn::Chain& chain, std::string_view pattern) {
  for (size_t dash = pattern.find('-'); dash != pattern.npos; dash = pattern.find('-', dash + 1)) {
    const std::string_view first = pattern.substr(0, dash), last = pattern.substr(dash + 1);
    const auto a = find_block(chain, first);
    if (!a) continue;
    auto b = find_block(chain, last);
    const size_t dot = first.rfind('.');
    if (!b && dot != first.npos) b = find_block(chain, std::string(first.substr(0, dot + 1)).append(last));
    if (!b) continue;
    check<ConfigError>(*a <= *b, "freeze: {}: {} comes after {}", pattern, chain.name(*a), chain.name(*b));
    return std::pair(*a, *b);
  }
  return {};
}

std::vector<std::string> set(nn::Chain& chain, std::string_view patterns, bool frozen, const char* verb) {
  std::vector<std::string> matched;
  for (std::string_view pattern : split_list(patterns)) {
    const size_t before = matched.size();
    if (const auto range = find_range(chain, pattern)) {
      for (int i = range->first; i <= range->second; ++i) {
        chain.block(i).set_frozen(frozen);
        matched.push_back(chain.name(i));
      }
    } else {
      for (int i = 0; i < chain.size(); ++i)
        if (glob_match(pattern, chain.name(i))) {
          chain.block(i).set_frozen(frozen);
          matched.push_back(chain.name(i));
        }
      // Modules inside blocks have paths; a block's own is matched by its name above.
      if (matched.size() == before)
        for (auto& [path, module] : chain.named_modules())
          if (!path.empty() && glob_match(pattern, path)) {
            module->set_frozen(frozen);
            matched.push_back(path);
          }
    }
    if (matched.size() > before) continue;
    std::vector<std::string> names;
    names.reserve(size_t(chain.size()));
    for (int i = 0; i < chain.size(); ++i) names.push_back(chain.name(i));
    throw ConfigError(fmt::format("{}: '{}' matches nothing (there are the blocks {})", verb, pattern, fmt::join(names, ", ")));
  }
  return matched;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = pattern.npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> freeze(nn::Chain& chain, std::string_view patterns) { return set(chain, patterns, true, "freeze"); }
std::vector<std::string> unfreeze(nn::Chain& chain, std::string_view patterns) { return set(chain, patterns, false, "unfreeze"); }

std::vector<std::string> freeze_first(nn::Chain& chain, int64_t n) {
  check<ConfigError>(0 <= n && n <= chain.size(), "freeze: first {} blocks: the network has {}", n, chain.size());
  std::vector<std::string> names;
  for (int i = 0; i < n; ++i) {
    chain.block(i).set_frozen(true);
    names.push_back(chain.name(i));
  }
  return names;
}

}  // namespace graft::transfer
