#include <doctest/doctest.h>

#include <filesystem>

#include "io/weights/safetensors.h"
#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;
using test::contains;

namespace {

std::string file_of(std::string header, size_t data_bytes) {
  const uint64_t n = header.size();
  std::string s(reinterpret_cast<const char*>(&n), 8);
  return s + header + std::string(data_bytes, '\1');
}

std::string refusal(const std::string& content) {
  try {
    parse_safetensors(bytes_of(content), "f");
  } catch (const LoadError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("safetensors: every dtype, scalars and empty tensors come back as they were") {
  NamedTensors tensors = {
      {"bytes", Tensor::from<uint8_t>({1, 2, 3}, {3})},  {"f32", Tensor::from<float>({1.5f, -2, 3, 4, 5, 6}, {2, 3})},
      {"f16", Tensor::full({5}, 0.5, DType::f16)},       {"bf16", Tensor::full({1, 7}, -3, DType::bf16)},
      {"i32", Tensor::from<int32_t>({-7}, {1})},         {"step", Tensor::full({}, 41, DType::i64)},
      {"f64", Tensor::from<double>({1e300, -0.0}, {2})}, {"empty", Tensor::empty({0, 3})}};
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a.safetensors";
  save_safetensors(path, tensors, {{"note", "a \"quoted\"\nline, \xC3\xA9"}});
  const WeightFile back = load_weight_file(path);
  CHECK(back.metadata.at("note") == "a \"quoted\"\nline, \xC3\xA9");
  REQUIRE(back.tensors.size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, t] = back.tensors[i];
    CHECK(name == tensors[i].first);
    CHECK(t.dtype() == tensors[i].second.dtype());
    CHECK(t.shape() == tensors[i].second.shape());
    CHECK((t.bytes() == 0 || std::memcmp(t.raw(), tensors[i].second.raw(), t.bytes()) == 0));
  }
  const Bytes raw = read_file(path);
  const std::string content(reinterpret_cast<const char*>(raw.data()), raw.size());
  for (size_t n = 0; n < content.size(); ++n) CHECK_THROWS_AS(parse_weights(bytes_of(content.substr(0, n)), "f"), LoadError);
  CHECK_THROWS_AS(parse_weights(bytes_of(content + "x"), "f"), LoadError);
  std::filesystem::remove(path);
  CHECK_THROWS_AS(save_safetensors(path, {tensors[0], tensors[0]}), ConfigError);
  CHECK_THROWS_AS(save_safetensors(path, {{"\xFF", tensors[0].second}}), ConfigError);
  CHECK(!std::filesystem::exists(path));
}

TEST_CASE("safetensors: a header that lies is refused before anything is allocated") {
  auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return fmt::format(R"({{"w":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
  };
  CHECK(refusal(file_of(entry("F32", "[2]", "[0,8]"), 8)) == "accepted");
  CHECK(refusal(file_of("{}", 0)) == "accepted");
  CHECK(contains(refusal(file_of(entry("F32", "[1000000000000]", "[0,4000000000000]"), 8)), "cut short"));
  CHECK(contains(refusal(file_of(entry("F32", "[4611686018427387904,4]", "[0,8]"), 8)), "2^63"));
  CHECK(contains(refusal(file_of(entry("F32", "[-2]", "[0,8]"), 8)), "number -2"));
  CHECK(contains(refusal(file_of(entry("F32", "[2.0]", "[0,8]"), 8)), "number 2"));
  CHECK(contains(refusal(file_of(entry("F32", "[2]", "[8,0]"), 8)), "data_offsets"));
  CHECK(contains(refusal(file_of(entry("F32", "[2]", "[0,7]"), 7)), "expected 8 bytes"));
  CHECK(contains(refusal(file_of(entry("F32", "[2]", "[0,8,9]"), 9)), "2 numbers"));
  CHECK(contains(refusal(file_of(entry("F32", "[1,1,1,1,1,1,2]", "[0,8]"), 8)), "6 dimensions"));
  CHECK(contains(refusal(file_of(entry("F8_E4M3", "[2]", "[0,2]"), 2)), "got F8_E4M3"));
  CHECK(contains(refusal(file_of(entry("BOOL", "[2]", "[0,2]"), 2)), "got BOOL"));
  CHECK(contains(refusal(file_of(entry("F32", "[2]", "[1,9]"), 9)), "belong to no tensor"));
  CHECK(contains(refusal(file_of(entry("F32", "[2]", "[0,8]"), 9)), "expected 8 bytes, got 9"));
  CHECK(contains(refusal(file_of(entry("F32", "[[2]]", "[0,8]"), 8)), "an array"));
  CHECK(contains(refusal(file_of(R"({"w":{"dtype":"F32","shape":[2]}})", 8)), "no dtype"));
  CHECK(contains(refusal(file_of(R"({"w":{"dtype":"F32","dtype":"F32"}})", 8)), "'F32'"));
  CHECK(contains(refusal(file_of(R"({"w":{"extra":1}})", 8)), "extra"));
  CHECK(contains(refusal(file_of(R"({"w":1})", 8)), "number 1"));
  CHECK(contains(refusal(file_of(R"({"__metadata__":{"a":1}})", 0)), "number 1"));
  CHECK(contains(refusal(file_of("[]", 0)), "JSON object"));
  CHECK(contains(refusal(file_of("{\"w\":", 0)), "syntax error"));
  CHECK(contains(refusal(file_of(std::string(100000, '{'), 0)), "syntax error"));
  const std::string one = R"("w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  CHECK(contains(refusal(file_of("{" + one + "," + one + "}", 2)), "'w' twice"));
  const std::string two = R"("v":{"dtype":"U8","shape":[2],"data_offsets":[1,3]})";
  CHECK(contains(refusal(file_of("{" + one + "," + two + "}", 3)), "overlap"));
  CHECK(contains(refusal(std::string(8, '\xFF') + "{}"), "at most 100000000"));
  CHECK(contains(refusal(std::string("\x10\0\0\0\0\0\0\0{}", 10)), "cut short"));
}
