// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011): random numbers as a pure function of (key, counter).
// The same key and index give the same number on cpu, emu and cuda, in any order, with any number of threads.
#pragma once
#include <cmath>
#include <cstdint>
#include <string_view>

#include "kernels/common/both_sides.h"

namespace graft {

struct PhiloxWords {
  uint32_t word[4];
  GRAFT_BOTH_SIDES constexpr uint32_t operator[](size_t i) const { return word[i]; }
  constexpr bool operator==(const PhiloxWords&) const = default;
};

struct Philox {
  uint64_t key;     // the stream: which random object this is (see stream_key)
  uint64_t offset;  // counter word shared by all draws of one use: a step, an epoch; 0 if unused

  GRAFT_BOTH_SIDES constexpr PhiloxWords operator()(uint64_t index) const {
    uint32_t c0 = uint32_t(index), c1 = uint32_t(index >> 32), c2 = uint32_t(offset), c3 = uint32_t(offset >> 32);
    uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
      c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
      c1 = uint32_t(p1);
      c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
      c3 = uint32_t(p0);
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    return {{c0, c1, c2, c3}};
  }

  // The index-th 32-bit word of the stream: four words share one evaluation.
  constexpr uint32_t word(uint64_t index) const { return (*this)(index >> 2)[index & 3]; }

  // Uniform in [0, 1) with 24 bits: exact in float, so float and double runs draw the same numbers.
  constexpr double uniform(uint64_t index) const { return double(word(index) >> 8) * 0x1p-24; }

  // Standard normal by Box-Muller from two words.
  double normal(uint64_t index) const {
    const double u = (double(word(2 * index) >> 8) + 0.5) * 0x1p-24;
    const double v = double(word(2 * index + 1) >> 8) * 0x1p-24;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

  // Uniform integer in [0, n), n < 2^32, by the high half of a product (bias below n / 2^32).
  constexpr uint64_t below(uint64_t index, uint64_t n) const { return (uint64_t{word(index)} * n) >> 32; }
};

// Names a random stream: stream_key(seed, "init/A/conv1"). FNV-1a over the name, mixed with the seed by splitmix64.
constexpr uint64_t stream_key(uint64_t seed, std::string_view name) {
  uint64_t h = 0xcbf29ce484222325;
  for (char c : name) h = (h ^ uint8_t(c)) * 0x100000001b3;
  h ^= seed + 0x9E3779B97F4A7C15;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EB;
  return h ^ (h >> 31);
}

}  // namespace graft
