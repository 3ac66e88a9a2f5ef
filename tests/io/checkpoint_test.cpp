#include "io/checkpoint.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "io/weights/safetensors.h"
#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;
namespace fs = std::filesystem;

namespace {

Checkpoint sample() {
  Checkpoint c;
  c.weights = {{"conv1.weight", Tensor::from<float>({1, 2, 3, 4}, {2, 2})}, {"step", Tensor::full({}, 9, DType::i64)}};
  c.optimizer = {{"momentum.conv1.weight", Tensor::from<float>({-1, 0, 1, 2}, {2, 2})}};
  c.random = {{"dropout", {0xFFFFFFFFFFFFFFFF, 12}}, {"order", {7, 0}}};
  c.meta = {{"model", "study_cnn"}, {"hash", "of something else"}, {"empty", ""}};
  c.step = 18446744073709551615u;
  return c;
}

std::string text(const fs::path& path) {
  const Bytes b = read_file(path);
  return std::string(reinterpret_cast<const char*>(b.data()), b.size());
}

size_t files_in(const fs::path& folder) { return size_t(std::distance(fs::directory_iterator(folder), fs::directory_iterator{})); }

}  // namespace

TEST_CASE("checkpoint: all parts come back") {
  const test::TemporaryFolder temporary;
  const fs::path& folder = temporary.path();
  const Checkpoint c = sample();
  save_checkpoint(folder / "c", c);
  save_checkpoint(folder / "c", c);  // over the old one
  CHECK(files_in(folder) == 1);
  const Checkpoint back = load_checkpoint(folder / "c");
  CHECK(back.step == c.step);
  CHECK(back.meta == c.meta);
  REQUIRE(back.random.size() == 2);
  CHECK(back.random.at("dropout").key == 0xFFFFFFFFFFFFFFFF);
  CHECK(back.random.at("dropout").offset == 12);
  REQUIRE(back.weights.size() == 2);
  REQUIRE(back.optimizer.size() == 1);
  CHECK(back.weights[0].first == "conv1.weight");
  CHECK(back.weights[0].second.to_vector<float>() == c.weights[0].second.to_vector<float>());
  CHECK(back.optimizer[0].first == "momentum.conv1.weight");
  CHECK(back.optimizer[0].second.to_vector<float>() == c.optimizer[0].second.to_vector<float>());
  CHECK(back.weights[1].second.item() == 9);
}

TEST_CASE("checkpoint: cut, damaged, foreign and future files are refused") {
  const test::TemporaryFolder temporary;
  const fs::path& folder = temporary.path();
  const fs::path path = folder / "c";
  save_checkpoint(path, sample());
  const std::string whole = text(path);
  auto refusal = [](const std::string& s) -> std::string {
    try {
      parse_checkpoint(bytes_of(s), "c");
    } catch (const LoadError& e) {
      return e.what();
    }
    return "accepted";
  };
  CHECK(refusal(whole) == "accepted");
  for (size_t n = 0; n < whole.size(); ++n) REQUIRE(refusal(whole.substr(0, n)) != "accepted");
  const size_t data = 8 + size_t(uint8_t(whole[0])) + (size_t(uint8_t(whole[1])) << 8);
  for (size_t i = data; i < whole.size(); ++i) {
    std::string s = whole;
    s[i] ^= 4;
    REQUIRE(refusal(s).find("hash: expected") != std::string::npos);
  }
  save_safetensors(path, sample().weights);
  CHECK(refusal(text(path)).find("got a weight file") != std::string::npos);
  save_safetensors(path, {}, {{"graft.checkpoint", "2"}});
  CHECK(refusal(text(path)).find("version: expected 1, got 2") != std::string::npos);
}

TEST_CASE("checkpoint: version 1 as first written stays readable") {
  const Checkpoint c = load_checkpoint(fs::path(GRAFT_SOURCE_DIR) / "tests/fuzz/corpus/checkpoint/version1.safetensors");
  CHECK(c.step == 18446744073709551615u);
  CHECK(c.weights.size() == 2);
}

TEST_CASE("atomic file: what fails leaves the old file and nothing else") {
  const test::TemporaryFolder temporary;
  const fs::path& folder = temporary.path();
  const fs::path path = folder / "file";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("half of the n");
  }
  CHECK(text(path) == "old");
  CHECK(files_in(folder) == 1);

  CHECK_THROWS_WITH_AS(write_file("/dev/full", "x"), doctest::Contains("No space left on device"), Error);
  CHECK_THROWS_WITH_AS(write_file(folder, "x"), doctest::Contains("Is a directory"), Error);
  CHECK_THROWS_WITH_AS(write_file(folder / "no" / "file", "x"), doctest::Contains("No such file"), Error);
  CHECK_THROWS_WITH_AS(write_file(path / "file", "x"), doctest::Contains("Not a directory"), Error);

  rlimit old_limit, limit;
  getrlimit(RLIMIT_FSIZE, &old_limit);
  limit = old_limit;
  limit.rlim_cur = 100;
  auto* handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  std::string message;
  try {
    save_checkpoint(path, sample());
  } catch (const Error& e) {
    message = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &old_limit);
  signal(SIGXFSZ, handler);
  CHECK(message.find("File too large (the old file is unchanged)") != std::string::npos);
  CHECK(text(path) == "old");
  CHECK(files_in(folder) == 1);

  fs::create_symlink(path, folder / "link");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  write_file(folder / "link", "new");
  CHECK(text(path) == "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(fs::status(path).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}
