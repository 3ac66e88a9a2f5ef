#include "transfer/study/config.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include <toml++/toml.h>

#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"
#include "nn/models/models.h"
#include "transfer/study/statistics.h"

namespace graft::study {

namespace {

constexpr std::pair<Condition, const char*> kConditions[] = {
    {Condition::base, "base"}, {Condition::base2x, "base2x"}, {Condition::BnB, "BnB"}, {Condition::BnBplus, "BnB+"},
    {Condition::AnB, "AnB"},   {Condition::AnBplus, "AnB+"},  {Condition::RnB, "RnB"}};

std::vector<std::string> condition_names() {
  std::vector<std::string> names;
  for (const auto& [condition, text] : kConditions) names.push_back(text);
  return names;
}

// One table of the file. Every key asked for is known; finish() refuses the others.
class Table {
 public:
  Table(const toml::table& table, std::string file, std::string name)
      : table_(table), file_(std::move(file)), name_(std::move(name)) {}

  template <class... Args>
  [[noreturn]] void fail(const toml::source_region& at, fmt::format_string<Args...> text, Args&&... args) const {
    throw ConfigError(fmt::format("{}:{}: {}", file_, at.begin.line, fmt::format(text, std::forward<Args>(args)...)));
  }
  const toml::source_region& here() const { return table_.source(); }
  int line() const { return int(here().begin.line); }

  const toml::node* find(const char* key) {
    known_.push_back(key);
    return table_.get(key);
  }

  void read(const char* key, std::string& out) {
    if (const toml::node* n = find(key)) out = text(*n, key);
  }
  void read(const char* key, bool& out) {
    const toml::node* n = find(key);
    if (!n) return;
    if (!n->is_boolean()) fail(n->source(), "{}: expected true or false", path(key));
    out = n->as_boolean()->get();
  }
  void read(const char* key, int64_t& out, int64_t least, int64_t most = int64_t{1} << 40) {
    if (const toml::node* n = find(key)) out = integer(*n, key, least, most);
  }
  void read(const char* key, double& out, double least, double most) {
    const toml::node* n = find(key);
    if (!n) return;
    out = number(*n, key);
    if (!(out >= least && out <= most)) fail(n->source(), "{}: expected {} to {}, got {}", path(key), least, most, out);
  }
  void read(const char* key, std::optional<double>& out) {
    if (const toml::node* n = find(key)) out = number(*n, key);
  }
  // Calls f(node) for each element.
  template <class F>
  void each(const char* key, F&& f) {
    const toml::node* n = find(key);
    if (!n) return;
    if (!n->is_array()) fail(n->source(), "{}: expected a list", path(key));
    for (const toml::node& e : *n->as_array()) f(e);
  }
  void read(const char* key, std::vector<int64_t>& out, int64_t least) {
    if (!table_.get(key)) return void(find(key));
    out.clear();
    each(key, [&](const toml::node& n) {
      const int64_t v = integer(n, key, least, int64_t{1} << 40);
      if (std::ranges::count(out, v)) fail(n.source(), "{}: {} is given twice", path(key), v);
      out.push_back(v);
    });
  }
  void read(const char* key, std::vector<std::string>& out) {
    each(key, [&](const toml::node& n) { out.push_back(text(n, key)); });
  }
  void read(const char* key, std::vector<Condition>& out) {
    each(key, [&](const toml::node& n) {
      const std::string s = text(n, key);
      const auto condition = condition_from_name(s);
      if (!condition) fail(n.source(), "{}: no condition '{}' ({})", path(key), s, did_you_mean(s, condition_names()));
      if (std::ranges::count(out, *condition)) fail(n.source(), "{}: {} is given twice", path(key), s);
      out.push_back(*condition);
    });
  }

  // A choice among names.
  void read(const char* key, std::string& out, const std::vector<std::string>& names) {
    read(key, out);
    if (!std::ranges::count(names, out)) {
      const toml::node* n = table_.get(key);
      fail(n ? n->source() : here(), "{}: no '{}' ({})", path(key), out, did_you_mean(out, names));
    }
  }

  // f(table) for the table, or each table of the list, under the key.
  template <class F>
  void section(const char* key, F&& f) {
    const toml::node* n = find(key);
    if (!n) return;
    if (!n->is_table()) fail(n->source(), "{}: expected a table [{}]", path(key), key);
    Table t(*n->as_table(), file_, key);
    f(t);
    t.finish();
  }
  template <class F>
  void sections(const char* key, F&& f) {
    each(key, [&](const toml::node& n) {
      if (!n.is_table()) fail(n.source(), "{}: expected tables [[{}]]", path(key), key);
      Table t(*n.as_table(), file_, key);
      f(t);
      t.finish();
    });
  }

  void finish() const {
    for (const auto& [key, node] : table_) {
      const std::string k(key.str());
      if (std::ranges::count(known_, k)) continue;
      fail(node.source(), "unknown key '{}'{} ({})", k, name_.empty() ? "" : fmt::format(" in [{}]", name_),
           did_you_mean(k, known_));
    }
  }

  std::string path(const char* key) const { return name_.empty() ? key : name_ + "." + key; }
  std::string text(const toml::node& n, const char* key) const {
    if (!n.is_string()) fail(n.source(), "{}: expected a text in quotes", path(key));
    return n.as_string()->get();
  }
  int64_t integer(const toml::node& n, const char* key, int64_t least, int64_t most) const {
    if (!n.is_integer()) fail(n.source(), "{}: expected a whole number", path(key));
    const int64_t v = n.as_integer()->get();
    if (v < least || v > most) fail(n.source(), "{}: expected {} to {}, got {}", path(key), least, most, v);
    return v;
  }
  double number(const toml::node& n, const char* key) const {
    const auto v = n.value<double>();
    if (!n.is_number() || !v || !std::isfinite(*v)) fail(n.source(), "{}: expected a finite number", path(key));
    return *v;
  }

 private:
  const toml::table& table_;
  std::string file_, name_;
  std::vector<std::string> known_;
};

void read_model(Table& t, StudyConfig& c) {
  t.read("name", c.model, nn::model_names());
  std::string init(nn::name(c.init));
  t.read("init", init, {"he_normal", "glorot_uniform", "gaussian_2014"});
  c.init = nn::init_from_name(init);
}

void read_train(Table& t, transfer::TrainConfig& c) {
  t.read("epochs", c.epochs, 1, 100000);
  t.read("batch", c.batch, 1, 65536);
  t.read("lr", c.lr, 1e-12, 1e3);
  t.read("schedule", c.schedule, {"constant", "step", "cosine", "one_cycle", "slanted_triangular"});
  t.read("warmup", c.warmup, 0, 1);
  t.read("momentum", c.momentum, 0, 1);
  t.read("nesterov", c.nesterov);
  t.read("weight_decay", c.weight_decay, 0, 1e3);
  t.read("bias_lr_multiplier", c.bias_lr_multiplier, 0, 1e3);
  t.read("bias_decay_multiplier", c.bias_decay_multiplier, 0, 1e3);
  t.read("clip_norm", c.clip_norm, 0, 1e12);
  t.read("label_smoothing", c.label_smoothing, 0, 1);
  t.read("precision", c.precision, {"f32", "bf16"});
}

void read_augment(Table& t, io::Augment& a) {
  t.read("pad_crop", a.pad_crop, 0, 4096);
  t.read("flip", a.flip, 0, 1);
  t.read("cutout", a.cutout, 0, 4096);
}

void read_grid(Table& t, StudyConfig& c) {
  t.read("conditions", c.conditions);
  if (const toml::node* n = t.find("cuts"); n && n->is_string()) {
    if (n->as_string()->get() != "all") t.fail(n->source(), "grid.cuts: expected \"all\" or a list of cuts");
  } else if (n) {
    t.each("cuts", [&](const toml::node& e) {
      if (e.is_string()) c.cuts.emplace_back(t.text(e, "cuts"));
      else c.cuts.emplace_back(t.integer(e, "cuts", 1, 100000));
    });
  }
  t.read("keep", c.keep, 0);
  if (c.keep.empty()) t.fail(t.here(), "grid.keep: expected at least one number");
  t.read("target_images_per_class", c.target_images_per_class, 1);
  t.read("seeds", c.seeds, 1, 10000);
}

void read_split(Table& t, StudyConfig& c) {
  SplitConfig s;
  t.read("name", s.name);
  if (s.name.empty()) t.fail(t.here(), "split.name: expected a name");
  for (const SplitConfig& other : c.splits)
    if (other.name == s.name) t.fail(t.here(), "split.name: '{}' is given twice", s.name);
  std::string kind = "random";
  t.read("kind", kind, {"random", "listed", "source"});
  s.kind = kind == "random" ? SplitConfig::Kind::random : kind == "listed" ? SplitConfig::Kind::listed : SplitConfig::Kind::source;
  t.read("conditions", s.conditions);
  if (s.kind == SplitConfig::Kind::listed) {
    t.read("a", s.a);
    t.read("b", s.b);
    if (s.a.size() < 2 || s.b.size() < 2) t.fail(t.here(), "split '{}': expected two classes or more in each of a and b", s.name);
    std::set<std::string> seen;
    for (const auto* list : {&s.a, &s.b})
      for (const std::string& k : *list)
        if (!seen.insert(k).second) t.fail(t.here(), "split '{}': class '{}' is given twice", s.name, k);
  } else if (s.kind == SplitConfig::Kind::source) {
    t.read("source", s.source);
    if (s.source.empty()) t.fail(t.here(), "split '{}': expected source = \"name of a data set\"", s.name);
    t.read("source_images_per_class", s.source_images_per_class, 1);
  }
  c.splits.push_back(std::move(s));
}

void read_criterion(Table& t, StudyConfig& c) {
  CriterionConfig k;
  k.line = t.line();
  t.read("name", k.name);
  if (k.name.empty()) t.fail(t.here(), "criterion.name: expected a name");
  t.read("value", k.value);
  if (k.value.empty()) t.fail(t.here(), "criterion '{}': expected a value, e.g. \"AnB - base\"", k.name);
  t.read("split", k.split);
  t.read("minus_split", k.minus_split);
  std::string over = "each";
  t.read("over", over, {"each", "mean", "spearman"});
  k.over = over == "each"   ? CriterionConfig::Over::each
           : over == "mean" ? CriterionConfig::Over::mean
                            : CriterionConfig::Over::spearman;
  t.read("cuts", k.cuts, 0);
  t.read("at_least", k.at_least);
  t.read("at_most", k.at_most);
  if (!k.at_least && !k.at_most) t.fail(t.here(), "criterion '{}': expected at_least, at_most or both", k.name);
  if (k.at_least && k.at_most && *k.at_least > *k.at_most) t.fail(t.here(), "criterion '{}': at_least is above at_most", k.name);
  t.read("images_per_class", k.images_per_class, 1);
  t.read("keep", k.keep, 0);
  t.read("seeds", k.seeds, 1, 10000);
  c.criteria.push_back(std::move(k));
}

// What concerns several keys.
void check_whole(Table& t, StudyConfig& c) {
  if (c.data.empty()) t.fail(t.here(), "data.name: expected the name of a data set");
  if (c.conditions.empty()) c.conditions = {Condition::base, Condition::BnB, Condition::AnB};
  if (c.splits.empty()) c.splits.emplace_back().name = "random";
  if (c.images_per_class)
    for (int64_t n : c.target_images_per_class)
      if (n >= c.images_per_class)
        t.fail(t.here(), "grid.target_images_per_class: expected fewer than data.images_per_class = {}, got {}", c.images_per_class,
               n);
  std::vector<std::string> names;
  for (SplitConfig& s : c.splits) {
    if (s.conditions.empty()) s.conditions = c.conditions;
    names.push_back(s.name);
  }
  for (CriterionConfig& k : c.criteria) {
    if (k.split.empty()) k.split = c.splits.front().name;
    const auto fail = [&](const std::string& what) {
      throw ConfigError(fmt::format("{}: criterion '{}': {}", k.line, k.name, what));
    };
    const auto terms = value_terms(k.value);
    if (!terms) {
      std::vector<std::string> known = condition_names();
      known.insert(known.end(), std::begin(kDerived), std::end(kDerived));
      fail(fmt::format("value '{}' is neither a name nor a difference of two conditions ({})", k.value,
                       did_you_mean(k.value, known)));
    }
    for (const std::string* s : {&k.split, &k.minus_split}) {
      if (s->empty()) continue;
      const auto found = std::ranges::find(c.splits, *s, &SplitConfig::name);
      if (found == c.splits.end()) fail(fmt::format("no split '{}' ({})", *s, did_you_mean(*s, names)));
      for (const std::optional<Condition>& needed : {std::optional(terms->plus), terms->minus})
        if (needed && *needed != Condition::base && !std::ranges::count(found->conditions, *needed))
          fail(fmt::format("split '{}' has no cells of {}", *s, name(*needed)));
    }
  }
}

}  // namespace

std::string_view name(Condition c) {
  for (const auto& [condition, text] : kConditions)
    if (condition == c) return text;
  throw InternalError("condition: unknown");
}

std::optional<Condition> condition_from_name(std::string_view text) {
  for (const auto& [condition, known] : kConditions)
    if (text == known) return condition;
  return {};
}

bool has_cut(Condition c) { return c != Condition::base && c != Condition::base2x; }
bool has_source(Condition c) { return has_cut(c) && c != Condition::RnB; }
bool is_frozen(Condition c) { return c == Condition::BnB || c == Condition::AnB || c == Condition::RnB; }

StudyConfig parse_config(std::string_view text, const std::string& file) {
  toml::table root;
  try {
    root = toml::parse(text, file);
  } catch (const toml::parse_error& e) {
    throw ConfigError(fmt::format("{}:{}: {}", file, e.source().begin.line, e.description()));
  }
  StudyConfig c;
  c.text = text;
  Table t(root, file, "");
  t.read("name", c.name);
  t.section("model", [&](Table& s) { read_model(s, c); });
  t.section("data", [&](Table& s) {
    s.read("name", c.data);
    s.read("images_per_class", c.images_per_class, 1);
  });
  t.section("train", [&](Table& s) { read_train(s, c.train); });
  t.section("augment", [&](Table& s) { read_augment(s, c.train.preprocessing.augment); });
  t.section("grid", [&](Table& s) { read_grid(s, c); });
  t.sections("split", [&](Table& s) { read_split(s, c); });
  t.sections("criterion", [&](Table& s) { read_criterion(s, c); });
  t.finish();
  try {
    check_whole(t, c);
  } catch (const ConfigError& e) {  // a criterion names its line itself
    const std::string what = e.what();
    throw ConfigError(what.starts_with(file) ? what : file + ":" + what);
  }
  return c;
}

StudyConfig load_config(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check<ConfigError>(bool(in), "{}: cannot be read", path.string());
  std::stringstream text;
  text << in.rdbuf();
  check<ConfigError>(!in.bad() && text.str().size() < (size_t{1} << 20), "{}: not a configuration of a study", path.string());
  StudyConfig c = parse_config(text.str(), path.string());
  if (c.name.empty()) c.name = path.stem().string();
  return c;
}

}  // namespace graft::study
