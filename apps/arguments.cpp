#include "apps/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include <toml++/toml.h>

#include "io/file.h"
#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"

namespace graft::apps {
namespace {

std::string option_name(const std::string& word) { return word.substr(0, word.find('=')); }

std::string suggestion(const std::string& wrong, const Words& names) {
  const std::string near = nearest_name(wrong, names);
  return near.empty() ? "" : fmt::format(" (did you mean {}?)", near);
}

std::string text_of(const toml::node& node, const std::string& where) {
  if (const auto* v = node.as_string()) return v->get();
  if (const auto* v = node.as_integer()) return fmt::format("{}", v->get());
  if (const auto* v = node.as_floating_point()) return fmt::format("{}", v->get());
  if (const auto* v = node.as_boolean()) return v->get() ? "true" : "false";
  throw ConfigError(fmt::format("{}: expected a number, a text, true or false, or a list of them", where));
}

toml::table parse(const std::string& file) {
  const io::Bytes bytes = io::read_file(file);
  try {
    return toml::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), file);
  } catch (const toml::parse_error& e) {
    throw ConfigError(fmt::format("{}:{}: {}", file, e.source().begin.line, e.description()));
  }
}

}  // namespace

void check_words(const Words& arguments, const Verbs& verbs) {
  if (arguments.empty() || arguments[0].starts_with("-")) return;
  Words names;
  for (const auto& [name, options] : verbs) names.push_back(name);
  const auto verb = verbs.find(arguments[0]);
  if (verb == verbs.end())
    throw ConfigError(fmt::format("there is no verb '{}': {}", arguments[0], did_you_mean(arguments[0], names)));
  for (const std::string& word : arguments) {
    if (word == "--") return;
    const std::string name = option_name(word);
    check<ConfigError>(!name.starts_with("--") || std::ranges::count(verb->second, name), "{}: there is no option {}{}",
                       verb->first, name, suggestion(name, verb->second));
  }
}

Words with_config_file(Words arguments, const Words& options, Origins& origins) {
  std::string file;
  Words given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    given.push_back(option_name(arguments[i]));
    if (arguments[i] == "--config" && i + 1 < arguments.size()) file = arguments[i + 1];
    else if (arguments[i].starts_with("--config=")) file = arguments[i].substr(9);
  }
  if (file.empty()) return arguments;
  Words known;
  for (const std::string& o : options)
    if (o != "--config" && o != "--help") known.push_back(o.substr(2));
  for (const auto& [key, node] : parse(file)) {
    const std::string name(key.str()), option = fmt::format("--{}", name),
                                       where = fmt::format("{}:{}", file, node.source().begin.line);
    check<ConfigError>(std::ranges::count(known, name), "{}: unknown key '{}' ({})", where, name, did_you_mean(name, known));
    if (std::ranges::count(given, option)) continue;
    origins[option] = where;
    const auto add = [&](const toml::node& n) {
      if (const std::string text = text_of(n, fmt::format("{}: {}", where, name)); !text.empty())
        arguments.push_back(fmt::format("{}={}", option, text));
    };
    if (const toml::array* list = node.as_array())
      for (const toml::node& n : *list) add(n);
    else add(node);
  }
  return arguments;
}

}  // namespace graft::apps
