#include <doctest/doctest.h>

#include <set>

#include "study_fixture.h"
#include "transfer/study/key.h"

using namespace graft;
using namespace graft::study;

namespace {

std::string error_of(const std::string& text) {
  try {
    parse_config(text, "x.toml");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

std::string grid_error(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  try {
    Grid grid(parse_config(text, "x.toml"), synthetic_provider);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

const std::string kData = "[data]\nname = \"tiny\"\n";

}  // namespace

TEST_CASE("study config: what it says is what is read") {
  const StudyConfig c = parse_config(kTinyStudy, "tiny.toml");
  CHECK(c.model == "mlp");
  CHECK(c.train.epochs == 2);
  CHECK(c.train.lr == 0.05);
  CHECK(c.conditions.size() == 7);
  CHECK(c.splits.size() == 3);
  CHECK(c.splits[0].conditions.size() == 7);
  CHECK(c.splits[1].a == std::vector<std::string>{"class0", "class1"});
  CHECK(c.splits[2].source == "other");
  CHECK(c.criteria.at(0).split == "random");
}

TEST_CASE("study config: the examples are valid") {
  for (const char* name : {"demo", "cifar10_random", "cifar10_dissimilar"})
    CHECK_NOTHROW(load_config(std::filesystem::path(GRAFT_SOURCE_DIR) / "examples" / (std::string(name) + ".toml")));
}

TEST_CASE("study config: errors name the line, the key and the nearest known one") {
  CHECK(error_of("[train]\nepoch = 3\n" + kData) == "x.toml:2: unknown key 'epoch' in [train] (did you mean 'epochs'?)");
  CHECK(error_of("trian = 1\n").starts_with("x.toml:1: unknown key 'trian' (did you mean 'train'?)"));
  CHECK(error_of("zzzz = 1\n").find("expected one of name, model, data") != std::string::npos);
  CHECK(error_of("[train]\nlr = \"fast\"\n") == "x.toml:2: train.lr: expected a finite number");
  CHECK(error_of("[train]\nlr = nan\n") == "x.toml:2: train.lr: expected a finite number");
  CHECK(error_of("[train]\nepochs = 0\n").starts_with("x.toml:2: train.epochs: expected 1 to"));
  CHECK(error_of("[train]\nepochs = 2.5\n") == "x.toml:2: train.epochs: expected a whole number");
  CHECK(error_of("[train\n").starts_with("x.toml:1: "));
  CHECK(error_of("[model]\nname = \"study_cn\"\n").starts_with("x.toml:2: model.name: no 'study_cn' (did you mean 'study_cnn'?)"));
  CHECK(error_of("[grid]\nconditions = [\"BnA\"]\n").starts_with("x.toml:2: grid.conditions: no condition 'BnA'"));
  CHECK(error_of("[grid]\nconditions = [\"BnB\", \"BnB\"]\n") == "x.toml:2: grid.conditions: BnB is given twice");
  CHECK(error_of("[grid]\nseeds = 3\n").find("data.name: expected the name of a data set") != std::string::npos);
  CHECK(error_of(kData + "[[split]]\nname = \"s\"\nkind = \"listed\"\na = [\"x\", \"y\"]\nb = [\"x\", \"z\"]\n")
            .find("'x' is given twice") != std::string::npos);
  CHECK(error_of(kData + "[[criterion]]\nname = \"c\"\nvalue = \"AnB - bas\"\nat_most = 0\n")
            .starts_with("x.toml:3: criterion 'c': value 'AnB - bas'"));
  CHECK(
      error_of(kData + "[[criterion]]\nname = \"c\"\nvalue = \"RnB\"\nat_most = 0\n").find("split 'random' has no cells of RnB") !=
      std::string::npos);
  CHECK(error_of(kData + "[[criterion]]\nname = \"c\"\nvalue = \"AnB\"\n").find("expected at_least, at_most or both") !=
        std::string::npos);
}

TEST_CASE("study grid: errors that need the data or the model") {
  const std::string text = kTinyStudy;
  CHECK(grid_error(text, "\"class5\"", "\"clas4\"") == "split 'listed': tiny has no class 'clas4' (did you mean 'class4'?)");
  CHECK(grid_error(text, "= 16", "= 21").find("class 'class") != std::string::npos);
  CHECK(grid_error(text, "seeds = 2", "cuts = [3]").find("mlp has cuts 1 to 2 (after fc1 to fc2), got 3") != std::string::npos);
  CHECK(grid_error(text, "seeds = 2", "cuts = [\"fc9\"]").find("fc1, fc2, fc3") != std::string::npos);
  CHECK(grid_error(text, "seeds = 2", "cuts = [1]") == "criterion 'specificity': cut 2 is not in the grid");
}

TEST_CASE("study grid: halves are disjoint, complete and a function of the seed") {
  std::set<std::vector<int64_t>> seen;
  for (int64_t seed = 0; seed < 20; ++seed) {
    const auto [a, b] = random_halves(10, seed);
    CHECK(a.size() == 5);
    std::set<int64_t> all(a.begin(), a.end());
    all.insert(b.begin(), b.end());
    CHECK(all.size() == 10);
    CHECK(random_halves(10, seed).first == a);
    seen.insert(a);
  }
  CHECK(seen.size() > 15);
  CHECK(random_halves(7, 0).first.size() == 3);
}

TEST_CASE("study grid: cells, sources and shared results") {
  Grid grid(parse_config(kTinyStudy, "tiny.toml"), synthetic_provider);
  CHECK(grid.cuts() == std::vector<int64_t>{1, 2});
  std::set<std::string> keys, unique;
  int64_t random = 0, other = 0;
  for (const Cell& c : grid.cells()) {
    keys.insert(c.key);
    random += c.label.partition == "random";
    other += c.label.partition == "other";
  }
  // random: two sizes x (base, base2x, five conditions at two cuts) x two seeds x two halves
  CHECK(random == 2 * 12 * 4);
  // other: base at two sizes, the source once a seed, AnB at two cuts and two sizes
  CHECK(other == 8 + 2 + 16);
  for (size_t i : grid.unique()) CHECK(unique.insert(grid.cells()[i].key).second);
  CHECK(unique == keys);
  const auto find = [&](const std::string& split, Condition c, int64_t cut, const char* half, int64_t images) -> const Cell& {
    for (const Cell& x : grid.cells())
      if (x.label.partition == split && x.label.condition == c && x.label.cut == cut && x.label.half == half &&
          x.label.images_per_class == images && x.label.seed == 0)
        return x;
    throw Error("absent");
  };
  // The same base network serves every split with these halves; the source of A is base B, at full data also for few images.
  CHECK(find("random", Condition::base, 0, "A", 16).key == find("other", Condition::base, 0, "A", 16).key);
  CHECK(find("random", Condition::base, 0, "A", 16).key != find("listed", Condition::base, 0, "A", 16).key);
  CHECK(find("random", Condition::AnB, 1, "A", 5).source_key == find("random", Condition::base, 0, "B", 16).key);
  CHECK(find("random", Condition::BnB, 1, "A", 16).source_key == find("random", Condition::base, 0, "A", 16).key);
  CHECK(find("random", Condition::base, 0, "A", 16).shared);
  CHECK_FALSE(find("random", Condition::base, 0, "A", 5).shared);
  CHECK(find("other", Condition::AnB, 1, "A", 16).source_key == find("other", Condition::base, 0, "S", 16).key);
  CHECK(find("other", Condition::AnB, 1, "A", 16).label.source == "other");
  // Images: those of few are among those of many, at the size of the target.
  const auto many = grid.data(find("random", Condition::base, 0, "A", 16)),
             few = grid.data(find("random", Condition::base, 0, "A", 5));
  CHECK(many->train.size() == 48);
  CHECK(few->train.size() == 15);
  CHECK(grid.data(find("other", Condition::base, 0, "S", 16))->train.images.shape() == Shape{64, 6, 6, 1});
}

TEST_CASE("study grid: keep copies further blocks of frozen grafts only, and never the classifier") {
  std::string text = kTinyStudy;
  text.replace(text.find("seeds = 2"), 9, "keep = [0, 1]\nseeds = 1");
  Grid grid(parse_config(text, "tiny.toml"), synthetic_provider);
  std::set<std::string> kept;
  for (const Cell& c : grid.cells())
    if (c.label.keep) kept.insert(std::string(name(c.label.condition)) + std::to_string(c.label.cut));
  CHECK(kept == std::set<std::string>{"BnB1", "AnB1"});
}

TEST_CASE("study key: changes with what decides the numbers and with nothing else") {
  const std::string text = kTinyStudy;
  const auto key = [&](const std::string& from, const std::string& to) {
    std::string t = text;
    t.replace(t.find(from), from.size(), to);
    return Grid(parse_config(t, "x.toml"), synthetic_provider).cells().front().key;
  };
  const std::string same = key("name = \"tiny\"", "name = \"tiny\"");
  CHECK(same.size() == 32);
  CHECK(key("name = \"random\"", "name = \"renamed\"\nkind = \"random\"") == same);
  CHECK(key("seeds = 2", "seeds = 1") == same);
  CHECK(key("epochs = 2", "epochs = 3") != same);
  CHECK(key("lr = 0.05", "lr = 0.050001") != same);
  CHECK(key("lr = 0.05", "lr = 0.05\nclip_norm = 1") != same);
  CHECK(key("= 16", "= 15") != same);
  CHECK(key("name = \"mlp\"", "name = \"mlp\"\ninit = \"glorot_uniform\"") != same);
  CHECK(hash_text("") == "99aa06d3014798d86001c324468d497f");  // XXH3, 128 bits, of nothing
}
