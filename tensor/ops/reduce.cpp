#include "tensor/ops/reduce.h"

#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/view.h"

namespace graft {
namespace {

// Over axes [first, last), which stay with size 1.
Tensor reduce_run(const Tensor& x, Reduce kind, int first, int last) {
  const Shape s = x.shape();
  const ReduceParams p{kind, s.product(0, first), s.product(first, last), s.product(last, s.rank())};
  check<ShapeError>(kind == Reduce::sum || p.n > 0, "mean: x: {} has nothing to average", s);
  Shape shape = s;
  for (int d = first; d < last; ++d) shape.set(d, 1);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  call<ReduceForward>(Op::reduce, Pass::forward, x, y, x, p);
  record(kind == Reduce::sum ? "sum" : "mean", y, {x}, [=](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty(s, dy.dtype(), dy.device());
    call<ReduceBackward>(Op::reduce, Pass::backward, dy, dx, dy, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace

Tensor reduce(const Tensor& x, Reduce kind, std::span<const int> axes, bool keepdim) {
  const char* op = kind == Reduce::sum ? "sum" : "mean";
  const int rank = x.rank();
  std::vector<bool> reduced(size_t(rank), axes.empty());
  for (int a : axes) {
    check<ShapeError>(-rank <= a && a < rank, "{}: axes: expected in [{}, {}), got {}", op, -rank, rank, a);
    const size_t axis = size_t(a < 0 ? a + rank : a);
    check<ShapeError>(!reduced[axis], "{}: axes: {} twice", op, axis);
    reduced[axis] = true;
  }
  Tensor y = x;
  for (int last = rank; last > 0; --last) {
    if (!reduced[size_t(last - 1)]) continue;
    int first = last - 1;
    while (first > 0 && reduced[size_t(first - 1)]) --first;
    y = reduce_run(y, kind, first, last);
    last = first + 1;
  }
  if (keepdim) return y;
  std::vector<int64_t> kept;
  for (int d = 0; d < rank; ++d)
    if (!reduced[size_t(d)]) kept.push_back(x.size(d));
  if (kept.empty()) kept.push_back(1);
  return reshape(y, Shape(kept));
}

}  // namespace graft
