#pragma once
#include <initializer_list>
#include <span>

#include "tensor/tensor.h"

namespace graft {

// All are differentiable. Axes: negative ones count from the end.

// The same elements in another shape, without a copy.
Tensor reshape(const Tensor& x, Shape shape);

// [N, ...] -> [N, product of the rest], without a copy.
Tensor flatten(const Tensor& x);

// Elements [begin, end) of one axis (a copy).
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);

// Joined along one axis; the other sizes are equal.
Tensor concat(std::span<const Tensor> list, int axis);
inline Tensor concat(std::initializer_list<Tensor> list, int axis) {
  return concat(std::span<const Tensor>(list.begin(), list.size()), axis);
}

// Axis d of the result is axis axes[d] of x (a copy): permute(x, {0, 3, 1, 2}) turns NHWC into NCHW.
Tensor permute(const Tensor& x, std::span<const int> axes);
inline Tensor permute(const Tensor& x, std::initializer_list<int> axes) {
  return permute(x, std::span<const int>(axes.begin(), axes.size()));
}

}  // namespace graft
