#include "tensor/ops/attention.h"

#include <cmath>

#include "kernels/attention/attention.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/view.h"

namespace graft {
namespace {

void check_lengths(const Tensor& lengths, const Tensor& k) {
  check<DtypeError>(lengths.dtype() == DType::i64, "attention: lengths: expected i64, got {}", name(lengths.dtype()));
  check<ShapeError>(lengths.shape() == Shape{k.size(0)}, "attention: lengths: expected [{}], got {}", k.size(0), lengths.shape());
  check<DeviceError>(lengths.device() == k.device(), "attention: lengths: expected on {}, got on {}", name(k.device().backend),
                     name(lengths.device().backend));
  if (!lengths.device().on_host()) return;
  for (int64_t n : lengths.span<int64_t>())
    check<ShapeError>(n >= 0 && n <= k.size(1), "attention: lengths: expected 0 to {} keys, got {}", k.size(1), n);
}

// What forward leaves for backward.
struct Attended {
  Tensor q, k, v, y, lse, lengths;
  AttentionParams p;

  std::vector<Tensor> gradients(const Tensor& dy) const {
    const Tensor dq = Tensor::empty_like(q), dk = Tensor::empty_like(k), dv = Tensor::empty_like(v);
    call<AttentionBackward>(Op::attention, Pass::backward, q, dq, dk, dv, dy, q, k, v, y, lse, lengths, p);
    return {dq, dk, dv};
  }
};

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& o, const Tensor& lengths) {
  check<ShapeError>(q.rank() == 4 && q.size(2) > 0 && q.size(3) > 0, "attention: q: expected [B, T, H, D], got {}", q.shape());
  check<ShapeError>(
      k.rank() == 4 && k.size(0) == q.size(0) && k.size(3) == q.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0,
      "attention: k: expected [{}, T, a divisor of {} heads, {}], got {}", q.size(0), q.size(2), q.size(3), k.shape());
  check<ShapeError>(v.shape() == k.shape(), "attention: v: expected the shape of k, {}, got {}", k.shape(), v.shape());
  check_same("attention", q, {{"k", &k}, {"v", &v}});
  check<ConfigError>(o.window >= 0 && o.scale >= 0 && std::isfinite(o.scale),
                     "attention: expected window >= 0 and scale >= 0, got {} and {}", o.window, o.scale);
  if (lengths) check_lengths(lengths, k);
  const AttentionParams p{
      q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), o.scale > 0 ? o.scale : 1 / std::sqrt(double(q.size(3))),
      o.causal,  o.window};
  const DType sums = q.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor y = Tensor::empty_like(q), lse = Tensor::empty({p.batch, p.heads, p.queries}, sums, q.device());
  call<AttentionForward>(Op::attention, Pass::forward, q, y, lse, q, k, v, lengths, p);
  return {q.detach(), k.detach(), v.detach(), y.detach(), lse, lengths, p};
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions o, const Tensor& lengths) {
  const Attended a = attend(q, k, v, o, lengths);
  const Tensor y = a.y.detach();
  record("attention", y, {q, k, v}, [a](const Tensor& dy, const Needs&) { return a.gradients(dy); });
  return y;
}

Tensor self_attention(const Tensor& qkv, int64_t heads, int64_t kv_heads, AttentionOptions o, const Tensor& lengths) {
  check<ShapeError>(heads > 0 && kv_heads > 0 && heads % kv_heads == 0,
                    "self_attention: kv_heads: expected a divisor of {} heads, got {}", heads, kv_heads);
  const int64_t parts = heads + 2 * kv_heads;
  check<ShapeError>(qkv.rank() == 3 && qkv.size(2) > 0 && qkv.size(2) % parts == 0,
                    "self_attention: qkv: expected [B, T, {} D], got {}", parts, qkv.shape());
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), dim = qkv.size(2) / parts;
  const Tensor x = qkv.detach().view({batch, tokens, parts, dim});
  const Attended a =
      attend(slice(x, 2, 0, heads), slice(x, 2, heads, heads + kv_heads), slice(x, 2, heads + kv_heads, parts), o, lengths);
  const Tensor y = a.y.detach().view({batch, tokens, heads * dim});
  record("self_attention", y, {qkv}, [a, shape = qkv.shape()](const Tensor& dy, const Needs&) {
    return std::vector{concat(a.gradients(dy.view(a.y.shape())), 2).view(shape)};
  });
  return y;
}

}  // namespace graft
