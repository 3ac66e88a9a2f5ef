#include "tensor/ops/attention.h"

#include <cmath>

#include "kernels/attention/attention.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

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

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions o, const Tensor& lengths) {
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
  const Tensor y = Tensor::empty_like(q), lse = Tensor::empty({p.batch, p.heads, p.queries}, q.dtype(), q.device());
  call<AttentionForward>(Op::attention, Pass::forward, q, y, lse, q, k, v, lengths, p);
  record("attention", y, {q, k, v},
         [=, q = q.detach(), k = k.detach(), v = v.detach(), y = y.detach()](const Tensor& dy, const Needs&) {
           const Tensor dq = Tensor::empty_like(q), dk = Tensor::empty_like(k), dv = Tensor::empty_like(v);
           call<AttentionBackward>(Op::attention, Pass::backward, q, dq, dk, dv, dy, q, k, v, y, lse, lengths, p);
           return std::vector{dq, dk, dv};
         });
  return y;
}

}  // namespace graft
