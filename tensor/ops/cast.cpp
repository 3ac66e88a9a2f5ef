#include "tensor/ops/cast.h"

#include "kernels/elementwise/cast.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor cast(const Tensor& x, DType to) {
  if (x.dtype() == to) return x;
  for (DType t : {x.dtype(), to})
    check<DtypeError>(t == DType::f32 || t == DType::bf16, "cast: expected f32 and bf16, got {} to {}", name(x.dtype()), name(to));
  Tensor y = Tensor::empty(x.shape(), to, x.device());
  if (to == DType::bf16) call<CastForward>(Op::cast, Pass::forward, y, y, x, CastParams{x.numel()});
  else call<CastBackward>(Op::cast, Pass::backward, x, y, x, CastParams{x.numel()});
  record("cast", y, {x}, [from = x.dtype()](const Tensor& dy, const Needs&) { return std::vector{cast(dy, from)}; });
  return y;
}

}  // namespace graft
