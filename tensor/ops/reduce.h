#pragma once
#include <initializer_list>
#include <span>

#include "kernels/reduce/reduce.h"
#include "tensor/tensor.h"

namespace graft {

// Sum or mean over `axes` (negative ones count from the end; no axis: over all). A reduced axis is dropped, or kept
// with size 1 (keepdim); if nothing is left the result is [1]. ShapeError for an axis that is out of range or named
// twice, and for the mean of nothing.
Tensor reduce(const Tensor& x, Reduce kind, std::span<const int> axes, bool keepdim = false);

inline Tensor sum(const Tensor& x, std::initializer_list<int> axes = {}, bool keepdim = false) {
  return reduce(x, Reduce::sum, {axes.begin(), axes.size()}, keepdim);
}
inline Tensor mean(const Tensor& x, std::initializer_list<int> axes = {}, bool keepdim = false) {
  return reduce(x, Reduce::mean, {axes.begin(), axes.size()}, keepdim);
}

}  // namespace graft
