#include "kernels/attention/attention.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

AttentionParams shape(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                      bool causal = false, int64_t window = 0) {
  return {batch, queries, keys, heads, kv_heads, head_dim, 1 / std::sqrt(double(head_dim)), causal, window};
}

}  // namespace

void add_attention(Tier tier, const AttentionParams& p, Padding padding) {
  const int64_t q = p.batch * p.queries * p.q_step(), k = p.batch * p.keys * p.kv_step(), y = p.batch * p.queries * p.y_step(),
                rows = p.batch * p.heads * p.queries;
  double pairs = 0;  // of a query and a key that it sees
  for (int64_t i = 0; i < p.queries; ++i) {
    const Interval seen = seen_keys(p, i, p.keys);
    pairs += double(p.batch * p.heads * (seen.end - seen.begin));
  }
  const auto name = fmt::format("batch={} queries={} keys={} heads={}/{} dim={}{}{}{}{}", p.batch, p.queries, p.keys, p.heads,
                                p.kv_heads, p.head_dim, p.causal ? " causal" : "",
                                p.window ? fmt::format(" window={}", p.window) : "", padding == Padding::random ? " padded" : "",
                                p.q_row || p.kv_row ? fmt::format(" steps={},{}", p.q_step(), p.kv_step()) : "");
  const Arg lengths = padding == Padding::random ? index(p.batch, p.keys + 1) : absent();
  const double dim = double(p.head_dim), reduction = dim + double(p.keys);
  add<AttentionForward>(Op::attention, Pass::forward, name, tier, {out(y), out(rows), in(q), in(k), in(k), lengths},
                        {.reduction = reduction, .flops = 4 * pairs * dim, .bytes = 8.0 * double(q + k), .rounds_inside = true}, p);
  // lse about as the forward pass would give it: probabilities of the right size.
  const double lse = std::log(std::max(1.0, pairs / double(rows))) + 0.5;
  add<AttentionBackward>(
      Op::attention, Pass::backward, name, tier,
      {out(q), out(k), out(k), in(y), in(q), in(k), in(k), in(y), in_uniform(rows, lse - 0.5, lse + 0.5), lengths},
      {.reduction = reduction + double(p.queries * p.group()),
       .flops = 10 * pairs * dim,
       .bytes = 16.0 * double(q + k),
       .rounds_inside = true,
       .line = p.head_dim},
      p);
}

GRAFT_CASES(attention) {
  for (int64_t dim : {32, 64, 128, 5}) {  // 5: the versions without tiles
    add_attention(Tier::smoke, shape(1, 1, 1, 1, 1, dim));
    add_attention(Tier::smoke, shape(2, 3, 7, 2, 1, dim));
    add_attention(Tier::smoke, shape(2, 5, 5, 2, 2, dim, true));
    add_attention(Tier::smoke, shape(1, 6, 3, 1, 1, dim, true));  // the first three queries see nothing
    add_attention(Tier::smoke, shape(3, 4, 9, 2, 1, dim, false, 2), Padding::random);
    add_attention(Tier::ci, shape(1, 1, 61, 4, 2, dim), Padding::random);  // one new token
    add_attention(Tier::ci, shape(1, 66, 40, 1, 1, dim, false, 9));        // several tiles, few pairs
    add_attention(Tier::ci, shape(1, 41, 70, 1, 1, dim, true, 12));
    add_attention(Tier::ci, shape(1, 19, 18, 1, 1, dim));
    add_attention(Tier::ci, shape(2, 131, 131, 6, 2, dim, true), Padding::random);
    add_attention(Tier::ci, shape(2, 67, 259, 2, 2, dim, false), Padding::random);
    add_attention(Tier::ci, shape(1, 300, 300, 1, 1, dim, true, 50));
    add_attention(Tier::ci, shape(1, 97, 31, 3, 1, dim, true, 200));  // more queries than keys
  }
  for (int64_t dim : {32, 64, 5}) {  // q, k and v of one tensor; then of a row that no 16 bytes divide
    AttentionParams packed = shape(2, 9, 9, 4, 2, dim, true), odd = shape(2, 3, 5, 2, 1, dim);
    packed.q_row = packed.kv_row = 8 * dim;
    odd.q_row = 2 * dim + 3, odd.kv_row = dim + 1;
    add_attention(Tier::smoke, packed, Padding::random);
    add_attention(Tier::smoke, odd);
  }
  add_attention(Tier::ci, shape(1, 39, 38, 1, 1, 32));  // emu: several tiles both ways, without a mask
  add_attention(Tier::ci, shape(1, 38, 38, 1, 1, 64, true));
  add_attention(Tier::ci, shape(1, 17, 35, 1, 1, 16));  // emu: more than one warp of keys
  add_attention(Tier::ci, shape(1, 9, 33, 1, 1, 1));
  add_attention(Tier::ci, shape(1, 20, 21, 1, 1, 200));  // features beyond one pass of a warp
  add_attention(Tier::ci, shape(70001, 1, 2, 1, 1, 3));
  add_attention(Tier::bench, shape(1, 1024, 1024, 12, 12, 64, true));           // GPT-2 124M
  add_attention(Tier::bench, shape(8, 128, 128, 12, 12, 64), Padding::random);  // BERT base
  add_attention(Tier::bench, shape(4, 197, 197, 12, 12, 64));                   // ViT-B/16
  add_attention(Tier::bench, shape(1, 1024, 1024, 32, 8, 128, true));
  add_attention(Tier::bench, shape(1, 1, 4096, 32, 8, 128, true));
  add_attention(Tier::bench, shape(1, 4096, 4096, 8, 8, 64, true, 512));
}

}  // namespace graft::harness
