// The emulated half of conformance, alone: every wrapper writes every word, and what it writes follows from its input.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/kernels/conformance_inputs.h"

using namespace graft;

// tests/golden/conformance_h200.json: what an NVIDIA H200 made of two inputs of each wrapper (conformance_test_cuda.cpp).
TEST_CASE("golden: emu computes what a GPU computed") {
  std::ifstream file(GRAFT_SOURCE_DIR "/tests/golden/conformance_h200.json");
  REQUIRE(file);
  Context context(1);
  size_t compared = 0;
  for (const auto& record : nlohmann::json::parse(file))
    for (const conformance::Wrapper& w : emu::conformance_wrappers()) {
      if (record.at("wrapper") != w.name) continue;
      INFO(record.at("wrapper").get<std::string>(), " input ", record.at("seed").get<uint64_t>());
      const auto in = conformance::inputs(w, record.at("seed"));
      const auto hex = record.at("out").get<std::string>();
      REQUIRE(hex.size() == 8 * size_t(w.out));
      std::vector<uint32_t> got(size_t(w.out)), emulated(got.size()), size(got.size());
      for (size_t i = 0; i < got.size(); ++i) got[i] = uint32_t(std::stoul(hex.substr(8 * i, 8), nullptr, 16));
      w.run(context, emulated.data(), in.data());
      if (w.sums) w.run(context, size.data(), conformance::magnitudes(w, in).data());
      const std::string wrong = conformance::difference(w, emulated, got, size);
      CHECK_MESSAGE(wrong.empty(), wrong);
      ++compared;
    }
  CHECK(compared == 2 * emu::conformance_wrappers().size());
}

TEST_CASE("wrappers write all of their output, and it depends on their input") {
  Context context(1);
  for (const auto list : {emu::conformance_wrappers(), emu::conformance_hopper_wrappers()})
    for (const conformance::Wrapper& w : list) {
      INFO(std::string(w.name));
      const auto outputs = [&](const std::vector<uint32_t>& in, uint32_t poison) {
        std::vector<uint32_t> out(size_t(w.out), poison);
        w.run(context, out.data(), in.data());
        return out;
      };
      const auto run = [&](uint64_t seed, uint32_t poison) { return outputs(conformance::inputs(w, seed), poison); };
      const auto a = run(1, 0xffffffffu), b = run(1, 0x12345678u), c = run(2, 0xffffffffu);
      CHECK(a == b);
      CHECK(a != c);
      const auto size = outputs(conformance::magnitudes(w, conformance::inputs(w, 1)), 0xffffffffu);
      CHECK(conformance::difference(w, a, a, size).empty());
      CHECK_FALSE(conformance::difference(w, a, c, size).empty());
    }
}
