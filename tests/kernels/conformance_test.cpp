// The emulated half of conformance, alone: every wrapper writes every word, and what it writes follows from its input.
#include <doctest/doctest.h>

#include "tests/kernels/conformance_inputs.h"

using namespace graft;

TEST_CASE("conformance: every wrapper runs on emu, and its outputs depend on its inputs") {
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
