#include "tensor/ops/view.h"

#include "kernels/copy/copy_blocks.h"
#include "kernels/copy/permute.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

int resolve_axis(const char* op, int axis, int rank) {
  check<ShapeError>(-rank <= axis && axis < rank, "{}: axis: expected in [{}, {}), got {}", op, -rank, rank, axis);
  return axis < 0 ? axis + rank : axis;
}

// Copies between `part` and the range of `whole` that begins at `begin` along `axis`.
enum class Direction { out_of_whole, into_whole };
void copy_range(const Tensor& whole, const Tensor& part, int axis, int64_t begin, Direction direction) {
  const int rank = whole.rank();
  const int64_t inner = whole.shape().product(axis + 1, rank), block = part.size(axis) * inner, stride = whole.size(axis) * inner;
  const int64_t count = whole.shape().product(0, axis);
  if (direction == Direction::out_of_whole)
    call<CopyBlocksForward>(Op::copy_blocks, Pass::forward, whole, part, whole,
                            CopyBlocksParams{count, block, begin * inner, stride, 0, block});
  else
    call<CopyBlocksForward>(Op::copy_blocks, Pass::forward, whole, whole, part,
                            CopyBlocksParams{count, block, 0, block, begin * inner, stride});
}

Tensor permuted(const Tensor& x, const std::vector<int>& axes) {
  PermuteParams p;
  Shape shape = x.shape();
  const size_t skip = size_t(Shape::kMaxRank - x.rank());
  for (size_t d = 0; d < axes.size(); ++d) {
    shape.set(int(d), x.size(axes[d]));
    p.dims[skip + d] = x.size(axes[d]);
    p.strides[skip + d] = x.shape().product(axes[d] + 1, x.rank());
  }
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  call<PermuteForward>(Op::permute, Pass::forward, x, y, x, p);
  return y;
}

}  // namespace

Tensor reshape(const Tensor& x, Shape shape) {
  check<ShapeError>(shape.numel() == x.numel(), "reshape: {} has {} elements, {} has {}", x.shape(), x.numel(), shape,
                    shape.numel());
  Tensor y = x.view(shape);
  record("reshape", y, {x}, [shape = x.shape()](const Tensor& dy, const Needs&) { return std::vector{dy.view(shape)}; });
  return y;
}

Tensor flatten(const Tensor& x) {
  check<ShapeError>(x.rank() >= 1, "flatten: x: expected [N, ...], got {}", x.shape());
  return reshape(x, {x.size(0), x.shape().product(1, x.rank())});
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end) {
  axis = resolve_axis("slice", axis, x.rank());
  check<ShapeError>(0 <= begin && begin <= end && end <= x.size(axis), "slice: [{}, {}) of axis {} of {}", begin, end, axis,
                    x.shape());
  Shape shape = x.shape();
  shape.set(axis, end - begin);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  copy_range(x, y, axis, begin, Direction::out_of_whole);
  record("slice", y, {x}, [like = x.detach(), axis, begin](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::zeros_like(like);
    copy_range(dx, dy, axis, begin, Direction::into_whole);
    return std::vector{dx};
  });
  return y;
}

Tensor concat(std::span<const Tensor> list, int axis) {
  check<ShapeError>(!list.empty(), "concat: expected at least one tensor");
  axis = resolve_axis("concat", axis, list[0].rank());
  Shape shape = list[0].shape();
  int64_t total = 0;
  for (const Tensor& x : list) {
    Shape expected = list[0].shape();
    if (x.rank() == expected.rank()) expected.set(axis, x.size(axis));
    check<ShapeError>(x.shape() == expected, "concat: expected {} except for axis {}, got {}", list[0].shape(), axis, x.shape());
    check_same("concat", list[0], {{"list", &x}});
    total += x.size(axis);
  }
  shape.set(axis, total);
  Tensor y = Tensor::empty(shape, list[0].dtype(), list[0].device());
  std::vector<int64_t> begins;
  int64_t begin = 0;
  for (const Tensor& x : list) {
    begins.push_back(begin);
    copy_range(y, x, axis, begin, Direction::into_whole);
    begin += x.size(axis);
  }
  std::vector<Tensor> inputs(list.begin(), list.end());
  std::vector<Shape> shapes;
  for (const Tensor& x : list) shapes.push_back(x.shape());
  record("concat", y, std::move(inputs), [=](const Tensor& dy, const Needs& needs) {
    std::vector<Tensor> gradients(shapes.size());
    for (size_t i = 0; i < shapes.size(); ++i) {
      if (!needs[i]) continue;
      gradients[i] = Tensor::empty(shapes[i], dy.dtype(), dy.device());
      copy_range(dy, gradients[i], axis, begins[i], Direction::out_of_whole);
    }
    return gradients;
  });
  return y;
}

Tensor permute(const Tensor& x, std::span<const int> axes) {
  check<ShapeError>(int(axes.size()) == x.rank(), "permute: axes: expected {} of them for {}, got {}", x.rank(), x.shape(),
                    axes.size());
  std::vector<int> order, inverse(axes.size(), -1);
  for (int a : axes) {
    a = resolve_axis("permute", a, x.rank());
    check<ShapeError>(inverse[size_t(a)] < 0, "permute: axes: {} twice", a);
    inverse[size_t(a)] = int(order.size());
    order.push_back(a);
  }
  Tensor y = permuted(x, order);
  record("permute", y, {x}, [inverse](const Tensor& dy, const Needs&) { return std::vector{permuted(dy, inverse)}; });
  return y;
}

}  // namespace graft
