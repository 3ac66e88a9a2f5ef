#include <doctest/doctest.h>

#include "study_fixture.h"

using namespace graft;
using namespace graft::study;

namespace {

Row example(const std::string& key) {
  Row r;
  r.key = key;
  r.identity = "seed = 1\n";
  r.commit = "abc";
  r.result = {.status = "done",
              .accuracy = 0.1 + 0.2,
              .loss = 1e-300,
              .items = 10,
              .correct = 3,
              .epochs = 2,
              .steps = 9,
              .seconds = 1.25,
              .train_seconds = 1,
              .prefix_seconds = 0.5,
              .prefix_blocks = 3,
              .weights_hash = "00ff",
              .layer_table = "conv1\n",
              .proof = "kept",
              .curve = {{2.3, 0.5}, {std::nan(""), 0.25}}};
  return r;
}

CellLabel label(int64_t seed) {
  CellLabel l;
  l.condition = Condition::AnB;
  l.cut = 3;
  l.source = "tiny, \"x\"";
  l.target = "tiny";
  l.partition = "random";
  l.half = "B";
  l.seed = seed;
  return l;
}

void write_text(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }
std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class E>
std::string message(const std::filesystem::path& out, Store::Mode mode) {
  try {
    Store store(out, mode);
  } catch (const E& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("study store: a row comes back as it was, in the order of the grid") {
  TempFolder f;
  {
    Store store(f.path / "a" / "b", Store::Mode::write);
    store.plan({{label(2), "k2"}, {label(1), "k1"}, {label(3), "k3"}, {label(4), "k1"}});
    store.commit(example("k1"));
    store.commit(example("k2"));
    store.set_meta({{"target", "AVX2"}});
    store.set_meta({{"target", "AVX3"}, {"seeds", "3"}});
  }
  Store store(f.path / "a" / "b", Store::Mode::read);
  CHECK(store.meta() == std::map<std::string, std::string>{{"target", "AVX3"}, {"seeds", "3"}});
  const auto rows = store.rows();
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].label == label(2));
  CHECK(rows[1].label == label(1));
  CHECK(rows[2].label == label(4));  // a shared result
  const CellResult& r = rows[1].result;
  CHECK(*r.accuracy == 0.1 + 0.2);
  CHECK(*r.loss == 1e-300);
  CHECK(r.correct == 3);
  CHECK(r.prefix_blocks == 3);
  CHECK(r.layer_table == "conv1\n");
  CHECK(r.curve.size() == 2);
  CHECK(std::isnan(r.curve[1].loss));
  CHECK(r.curve[1].accuracy == 0.25);
  CHECK_FALSE(store.result("k3"));
}

TEST_CASE("study store: csv quotes, prints numbers exactly and leaves a diverged cell's accuracy out") {
  Row done = example("k1"), diverged = example("k2");
  done.label = diverged.label = label(1);
  diverged.result.accuracy.reset();
  diverged.result.loss.reset();
  diverged.result.status = "diverged";
  CHECK(to_csv({done, diverged}) ==
        "condition,cut,keep,source,target,partition,half,seed,images_per_class,status,accuracy,loss,epochs,seconds\n"
        "AnB,3,0,\"tiny, \"\"x\"\"\",tiny,random,B,1,0,done,0.30000000000000004,1e-300,2,1.250\n"
        "AnB,3,0,\"tiny, \"\"x\"\"\",tiny,random,B,1,0,diverged,,,2,1.250\n");
}

TEST_CASE("study store: a foreign or damaged file is refused and left as it is") {
  TempFolder f;
  std::filesystem::create_directories(f.path);
  const auto file = f.path / "study.sqlite";
  write_text(file, "my thesis");
  for (Store::Mode mode : {Store::Mode::read, Store::Mode::write}) {
    CHECK(message<LoadError>(f.path, mode).find("no store of a study") != std::string::npos);
    CHECK(read_text(file) == "my thesis");
  }
  std::filesystem::remove(file);
  {
    Store store(f.path, Store::Mode::write);
    std::vector<std::pair<CellLabel, std::string>> plan;
    for (int64_t i = 0; i < 500; ++i) plan.emplace_back(label(i), "key" + std::to_string(i));
    store.plan(plan);
  }
  std::string bytes = read_text(file);
  REQUIRE(bytes.size() > 3 * 4096);
  for (size_t i = 4096; i < 3 * 4096; ++i) bytes[i] = char(i * 7);
  write_text(file, bytes);
  CHECK(message<LoadError>(f.path, Store::Mode::write).find("damaged") != std::string::npos);
  CHECK(read_text(file) == bytes);
}

TEST_CASE("study store: an absent store, a folder that cannot be made, and a second writer are clear errors") {
  TempFolder f;
  CHECK(message<ConfigError>(f.path, Store::Mode::read).find("there is no study") != std::string::npos);
  CHECK(message<ConfigError>("/dev/null/x", Store::Mode::write).find("the folder cannot be made") != std::string::npos);
  Store store(f.path, Store::Mode::write);
  CHECK(message<ConfigError>(f.path, Store::Mode::write).find("another process is running a study") != std::string::npos);
  CHECK_NOTHROW(Store(f.path, Store::Mode::read));
}
