#include "kernels/matmul/matmul.h"

#include <fmt/core.h>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_matmul(Tier tier, const MatmulParams& p) {
  const int64_t a = p.batch * p.m * p.k, b = p.batch * p.k * p.n, c = p.batch * p.m * p.n;
  add<MatmulForward>(Op::matmul, Pass::forward,
                     fmt::format("batch={} m={} n={} k={} {}{}{}", p.batch, p.m, p.n, p.k, p.transpose_a ? 't' : 'n',
                                 p.transpose_b ? 't' : 'n', p.write == Write::accumulate ? " accumulate" : ""),
                     tier, {p.write == Write::accumulate ? in_out(c) : out(c), in(a), in(b)},
                     {.reduction = double(p.k), .flops = 2.0 * double(c) * double(p.k), .bytes = 4.0 * double(a + b + c)}, p);
}

GRAFT_CASES(matmul) {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      add_matmul(Tier::smoke, {1, 1, 1, 1, ta, tb});
      add_matmul(Tier::smoke, {3, 5, 7, 11, ta, tb});
      add_matmul(Tier::smoke, {2, 3, 4, 0, ta, tb});
      add_matmul(Tier::smoke, {2, 9, 6, 5, ta, tb, Write::accumulate});
      add_matmul(Tier::ci, {2, 64, 48, 33, ta, tb});
      add_matmul(Tier::ci, {1, 97, 131, 641, ta, tb});  // edges of every block
      add_matmul(Tier::ci, {1, 1, 300, 500, ta, tb});   // one row
      add_matmul(Tier::ci, {1, 300, 1, 500, ta, tb});   // one column
      add_matmul(Tier::ci, {40, 13, 17, 64, ta, tb});
      add_matmul(Tier::ci, {1, 7, 2000, 900, ta, tb});   // more of b than is packed at a time
      add_matmul(Tier::ci, {2, 300, 136, 200, ta, tb});  // pairs of tiles of 128 rows, more tiles of k than slots of a ring
      add_matmul(Tier::full, {1, 70001, 3, 2, ta, tb});
      for (int64_t n : {256, 1024}) add_matmul(Tier::bench, {1, n, n, n, ta, tb});
    }
  for (int64_t n : {136, 141}) add_matmul(Tier::ci, {1, 144, n, 72, false, true, Write::accumulate});
  add_matmul(Tier::ci, {1, 139, 72, 144, true, false});   // lines of a are not in units of 16 bytes
  add_matmul(Tier::ci, {1, 2049, 2064, 8, false, true});  // c goes past the caches of a cpu
  add_matmul(Tier::bench, {1, 1024, 1536, 384, false, false});
  add_matmul(Tier::bench, {1, 1024, 1536, 384, false, true});
  add_matmul(Tier::bench, {1, 384, 1536, 1024, true, false});
  add_matmul(Tier::bench, {1, 64, 4096, 1024, false, true});
  add_matmul(Tier::bench, {1, 1024, 64, 576, false, false});
  add_matmul(Tier::bench, {1, 144, 16, 16384, true, false});
  add_matmul(Tier::bench, {96, 64, 64, 32, false, true});
  add_matmul(Tier::bench, {1, 1, 4096, 1024, false, true});
}

}  // namespace graft::harness
