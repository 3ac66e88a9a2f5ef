#pragma once
#include <cmath>
#include <vector>

#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "tests/kernels/conformance.h"

namespace graft::conformance {

// Input number `seed` of a wrapper.
inline std::vector<uint32_t> inputs(const Wrapper& w, uint64_t seed) {
  const Philox random{stream_key(seed, w.name), 0};
  std::vector<uint32_t> words(static_cast<size_t>(w.in));
  for (size_t i = 0; i < words.size(); ++i) {
    const float x = float(random.normal(2 * i)), y = float(random.normal(2 * i + 1));
    const bool sum = w.adds && i % 10 >= 6;
    if (w.fill == Fill::bits) words[i] = random.word(i);
    else if (w.fill == Fill::floats || sum) words[i] = std::bit_cast<uint32_t>(x);
    else if (w.fill == Fill::bf16) words[i] = BFloat16(x).bits | uint32_t{BFloat16(y).bits} << 16;
    else words[i] = Half(x).bits | uint32_t{Half(y).bits} << 16;
  }
  return words;
}

// The same with every number positive.
inline std::vector<uint32_t> magnitudes(const Wrapper& w, std::vector<uint32_t> words) {
  for (size_t i = 0; i < words.size(); ++i)
    words[i] &= w.fill == Fill::floats || (w.adds && i % 10 >= 6) ? 0x7fffffffu : 0x7fff7fffu;
  return words;
}

// What is wrong with `got`, or "". `size`: the sums of the magnitudes, where the wrapper sums.
inline std::string difference(const Wrapper& w, std::span<const uint32_t> expected, std::span<const uint32_t> got,
                              std::span<const uint32_t> size) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const float e = std::bit_cast<float>(expected[i]), g = std::bit_cast<float>(got[i]);
    // Every addend cut to 24 bits of the largest one, and the result rounded.
    const double bound = w.sums ? (w.sums + 2) * 0x1p-23 * double(std::bit_cast<float>(size[i])) : 0;
    if (w.sums ? std::fabs(double(e) - g) <= bound : expected[i] == got[i]) continue;
    return "word " + std::to_string(i) + ": emu " + std::to_string(expected[i]) + ", cuda " + std::to_string(got[i]);
  }
  return "";
}

}  // namespace graft::conformance
