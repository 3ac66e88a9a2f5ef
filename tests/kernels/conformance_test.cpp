// The emulated half of conformance, alone: every wrapper writes every word, and what it writes follows from its input.
#include <doctest/doctest.h>

#include "tests/kernels/conformance_inputs.h"

using namespace graft;

TEST_CASE("conformance: every wrapper runs on emu, and its outputs depend on its inputs") {
  Context context(1);
  for (const conformance::Wrapper& w : emu::conformance_wrappers()) {
    INFO(w.name);
    const auto run = [&](uint64_t seed, uint32_t poison) {
      const std::vector<uint32_t> in = conformance::inputs(w, seed);
      std::vector<uint32_t> out(size_t(w.out), poison);
      w.run(context, out.data(), in.data());
      return out;
    };
    const auto a = run(1, 0xffffffffu), b = run(1, 0x12345678u), c = run(2, 0xffffffffu);
    CHECK(a == b);
    CHECK(a != c);
    CHECK(conformance::difference(w, a, a, a).empty());
    CHECK_FALSE(conformance::difference(w, a, c, a).empty());
  }
}
