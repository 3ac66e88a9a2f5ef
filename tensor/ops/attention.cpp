#include "tensor/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

void check_lengths(const Tensor& lengths, int64_t batch, int64_t keys, Device device) {
  check<DtypeError>(lengths.dtype() == DType::i64, "attention: lengths: expected i64, got {}", name(lengths.dtype()));
  check<ShapeError>(lengths.shape() == Shape{batch}, "attention: lengths: expected [{}], got {}", batch, lengths.shape());
  check<DeviceError>(lengths.device() == device, "attention: lengths: expected on {}, got on {}", name(device.backend),
                     name(lengths.device().backend));
  if (!lengths.device().on_host()) return;
  for (int64_t n : lengths.span<int64_t>())
    check<ShapeError>(n >= 0 && n <= keys, "attention: lengths: expected 0 to {} keys, got {}", keys, n);
}

// What forward leaves for backward. q, k and v may be parts of one tensor: their shapes are not read.
struct Attended {
  Tensor q, k, v, y, lse, lengths;
  AttentionParams p;

  void gradients(const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& dy) const {
    call<AttentionBackward>(Op::attention, Pass::backward, q, dq, dk, dv, dy, q, k, v, y, lse, lengths, p);
  }
};

AttentionParams params(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, int64_t head_dim,
                       const AttentionOptions& o) {
  check<ConfigError>(o.window >= 0 && o.scale >= 0 && std::isfinite(o.scale),
                     "attention: expected window >= 0 and scale >= 0, got {} and {}", o.window, o.scale);
  return {.batch = batch,
          .queries = queries,
          .keys = keys,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .scale = o.scale > 0 ? o.scale : 1 / std::sqrt(double(head_dim)),
          .causal = o.causal,
          .window = o.window};
}

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& lengths, const AttentionParams& p) {
  if (lengths) check_lengths(lengths, p.batch, p.keys, q.device());
  const DType sums = q.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor y = Tensor::empty({p.batch, p.queries, p.heads, p.head_dim}, q.dtype(), q.device()),
               lse = Tensor::empty({p.batch, p.heads, p.queries}, sums, q.device());
  call<AttentionForward>(Op::attention, Pass::forward, q, y, lse, q, k, v, lengths, p);
  return {q.detach(), k.detach(), v.detach(), y, lse, lengths, p};
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions o, const Tensor& lengths) {
  check<ShapeError>(q.rank() == 4 && q.size(2) > 0 && q.size(3) > 0, "attention: q: expected [B, T, H, D], got {}", q.shape());
  check<ShapeError>(
      k.rank() == 4 && k.size(0) == q.size(0) && k.size(3) == q.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0,
      "attention: k: expected [{}, T, a divisor of {} heads, {}], got {}", q.size(0), q.size(2), q.size(3), k.shape());
  check<ShapeError>(v.shape() == k.shape(), "attention: v: expected the shape of k, {}, got {}", k.shape(), v.shape());
  check_same("attention", q, {{"k", &k}, {"v", &v}});
  const Attended a = attend(q, k, v, lengths, params(q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), o));
  Tensor y = a.y.detach();
  record("attention", y, {q, k, v}, [a](const Tensor& dy, const Needs&) {
    const Tensor dq = Tensor::empty_like(a.q), dk = Tensor::empty_like(a.k), dv = Tensor::empty_like(a.v);
    a.gradients(dq, dk, dv, dy);
    return std::vector{dq, dk, dv};
  });
  return y;
}

Tensor self_attention(const Tensor& qkv, int64_t heads, int64_t kv_heads, AttentionOptions o, const Tensor& lengths) {
  check<ShapeError>(heads > 0 && kv_heads > 0 && heads % kv_heads == 0,
                    "self_attention: kv_heads: expected a divisor of {} heads, got {}", heads, kv_heads);
  const int64_t parts = heads + 2 * kv_heads;
  check<ShapeError>(qkv.rank() == 3 && qkv.size(2) > 0 && qkv.size(2) % parts == 0,
                    "self_attention: qkv: expected [B, T, {} D], got {}", parts, qkv.shape());
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / parts;
  AttentionParams p = params(batch, tokens, tokens, heads, kv_heads, dim, o);
  p.q_row = p.kv_row = parts * dim;
  // The queries, keys or values of the first token and what follows them.
  const auto from_head = [p](const Tensor& x, int64_t head) {
    const int64_t n = x.numel();
    return x.detach().view({n}).rows(std::min(head * p.head_dim, n), n);
  };
  const Attended a = attend(from_head(qkv, 0), from_head(qkv, heads), from_head(qkv, heads + kv_heads), lengths, p);
  Tensor y = a.y.view({batch, tokens, heads * dim});
  record("self_attention", y, {qkv}, [a, from_head, shape = qkv.shape()](const Tensor& dy, const Needs&) {
    const Tensor dqkv = Tensor::empty(shape, a.q.dtype(), a.q.device());
    a.gradients(from_head(dqkv, 0), from_head(dqkv, a.p.heads), from_head(dqkv, a.p.heads + a.p.kv_heads), dy);
    return std::vector{dqkv};
  });
  return y;
}

}  // namespace graft
