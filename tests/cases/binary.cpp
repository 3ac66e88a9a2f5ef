#include "kernels/elementwise/binary.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_sum(Tier tier, int64_t n) {
  const BinaryParams p{Binary::add, {1, 1, 1, n}, {0, 0, 0, 1}, {0, 0, 0, 1}};
  const auto name = fmt::format("kind={} y=1x1x1x{} a={} b={}", int(p.kind), n, n, n);
  add<BinaryForward>(Op::binary, Pass::forward, name, tier, {out(n), in(n), in(n)},
                     {.reduction = 1, .flops = double(n), .bytes = 12.0 * double(n)}, p);
}

void add_channel_scale(Tier tier, int64_t n, int64_t pixels, int64_t channels) {
  const BinaryParams p{Binary::mul, {1, n, pixels, channels}, {0, pixels * channels, channels, 1}, {0, channels, 0, 1}};
  const int64_t a = n * pixels * channels, b = n * channels;
  const auto name = fmt::format("kind={} y=1x{}x{}x{} a={} b={}", int(p.kind), n, pixels, channels, a, b);
  add<BinaryForward>(Op::binary, Pass::forward, name, tier, {out(a), in(a), in(b)},
                     {.reduction = 1, .flops = double(a), .bytes = 4.0 * double(2 * a + b)}, p);
  add<BinaryBackward>(Op::binary, Pass::backward, name, tier, {out(a), out(b), in(a), in(a), in(b)},
                      {.reduction = double(pixels), .flops = 3.0 * double(a), .bytes = 4.0 * double(3 * a + 2 * b)}, p);
}

GRAFT_CASES(binary) {
  add_sum(Tier::bench, 1 << 24);

  // Sizes of y, and which axes a and b repeat (from the front, 1: repeated).
  struct Broadcast {
    std::array<int64_t, 4> dims;
    std::array<int, 4> a, b;
  };
  for (const auto& [dims, a, b] : {Broadcast{{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
                                   {{1, 1, 1, 50001}, {0, 0, 0, 0}, {0, 0, 0, 0}},
                                   {{1, 1, 6, 13}, {0, 0, 0, 0}, {1, 1, 1, 0}},  // a bias
                                   {{1, 1, 6, 13}, {0, 0, 0, 0}, {1, 1, 0, 1}},  // a value per row
                                   {{1, 1, 6, 13}, {1, 1, 0, 1}, {1, 1, 1, 0}},  // an outer product
                                   {{1, 1, 6, 16}, {0, 0, 0, 0}, {1, 1, 1, 0}},
                                   {{1, 1, 6, 16}, {1, 1, 0, 1}, {0, 0, 0, 0}},
                                   {{2, 3, 4, 8}, {1, 0, 1, 0}, {0, 0, 0, 0}},
                                   {{1, 1, 70001, 8}, {0, 0, 0, 0}, {1, 1, 1, 0}},
                                   {{1, 1, 1, 40001}, {0, 0, 0, 0}, {1, 1, 1, 1}},
                                   {{1, 1, 3, 20000}, {0, 0, 0, 0}, {1, 1, 1, 0}},
                                   {{1, 1, 3, 20000}, {1, 1, 0, 1}, {0, 0, 0, 0}},
                                   {{1, 5, 49, 17}, {0, 0, 0, 0}, {1, 0, 1, 0}},  // [N, HW, C] with [N, 1, C]
                                   {{4, 3, 5, 7}, {1, 0, 1, 0}, {0, 1, 0, 1}},
                                   {{4, 3, 5, 7}, {0, 1, 0, 1}, {0, 0, 0, 0}},
                                   {{4, 1, 0, 7}, {0, 0, 0, 0}, {1, 1, 1, 0}}}) {
    const auto strides = [&](const std::array<int, 4>& repeated, int64_t& n) {
      std::array<int64_t, 4> s{};
      n = 1;
      for (size_t d = 4; d-- > 0;)
        if (!repeated[d]) s[d] = std::exchange(n, n * dims[d]);
      return s;
    };
    int64_t na, nb;
    const auto a_strides = strides(a, na), b_strides = strides(b, nb);
    const int64_t n = dims[0] * dims[1] * dims[2] * dims[3];
    for (Binary kind : {Binary::add, Binary::sub, Binary::mul}) {
      const BinaryParams p{kind, dims, a_strides, b_strides};
      const auto name = fmt::format("kind={} y={}x{}x{}x{} a={} b={}", int(kind), dims[0], dims[1], dims[2], dims[3], na, nb);
      const Tier tier = n < 1000 ? Tier::smoke : Tier::ci;
      add<BinaryForward>(Op::binary, Pass::forward, name, tier, {out(n), in(na), in(nb)},
                         {.reduction = 1, .flops = double(n), .bytes = 4.0 * double(n + na + nb)}, p);
      const double repeats = double(n) / double(std::max<int64_t>(1, std::min(na, nb)));
      add<BinaryBackward>(Op::binary, Pass::backward, name, tier, {out(na), out(nb), in(n), in(na), in(nb)},
                          {.reduction = repeats, .flops = 2.0 * double(n), .bytes = 8.0 * double(n + na + nb)}, p);
    }
    add<BinaryBackward>(Op::binary, Pass::backward, fmt::format("da alone y={}x{}x{}x{}", dims[0], dims[1], dims[2], dims[3]),
                        Tier::ci, {out(na), absent(), in(n), absent(), in(nb)},
                        {.reduction = double(n) / double(std::max<int64_t>(1, na))},
                        BinaryParams{Binary::mul, dims, a_strides, b_strides});
  }
}

}  // namespace graft::harness
