#include "tensor/ops/matmul.h"

#include "kernels/matmul/matmul.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const int rank = a.rank();
  check<ShapeError>(rank >= 2 && b.rank() == rank, "matmul: expected two matrices or batches of equal rank, got {} and {}",
                    a.shape(), b.shape());
  const int64_t m = a.size(transpose_a ? -1 : -2), k = a.size(transpose_a ? -2 : -1), n = b.size(transpose_b ? -2 : -1);
  bool fits = b.size(transpose_b ? -1 : -2) == k;
  for (int i = 0; i < rank - 2; ++i) fits &= a.size(i) == b.size(i);
  check<ShapeError>(
      fits, "matmul: b: expected {} x [.., {}, N] with the same leading dimensions, got {} (transpose_a {}, transpose_b {})",
      a.shape(), k, b.shape(), transpose_a, transpose_b);
  check_same("matmul", a, {{"b", &b}});
  Shape shape = a.shape();
  shape.set(-2, m);
  shape.set(-1, n);
  Tensor c = Tensor::empty(shape, a.dtype(), a.device());
  const MatmulParams p{shape.product(0, rank - 2), m, n, k, transpose_a, transpose_b};
  call<MatmulForward>(Op::matmul, Pass::forward, a, c, a, b, p);
  record("matmul", c, {a, b}, [a = a.detach(), b = b.detach(), transpose_a, transpose_b](const Tensor& dc, const Needs& needs) {
    Tensor da, db;
    if (needs[0]) da = transpose_a ? matmul(b, dc, transpose_b, true) : matmul(dc, b, false, !transpose_b);
    if (needs[1]) db = transpose_b ? matmul(dc, a, true, transpose_a) : matmul(a, dc, !transpose_a, false);
    return std::vector{da, db};
  });
  return c;
}

}  // namespace graft
