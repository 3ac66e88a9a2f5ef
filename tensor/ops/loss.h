#pragma once
#include "tensor/tensor.h"

namespace graft {

// logits[.., C] of N rows, labels i64[N] in [0, C) -> [1]: the mean over the rows of -sum_c q_c log softmax(logits)_c with
// q = (1 - label_smoothing) onehot + label_smoothing / C (Szegedy et al. 2016). ShapeError names a bad label's row.
// The loss is f32 where the logits are bf16.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing = 0);
// The same, but the logits are overwritten with their gradient: one read and one write of them in all. Whoever needs them takes
// what he needs before. They must not be the result of an op whose gradient reads that result (relu, softmax).
// The last `padding` columns are no classes: they are not read, and their gradient is zero.
Tensor cross_entropy_inplace(const Tensor& logits, const Tensor& labels, double label_smoothing = 0, int64_t padding = 0);
// cross_entropy(linear(x, weight), labels) of x[.., in], weight[C, in], whose logits nobody else sees: on a GPU their lines are
// padded to units of 16 bytes, as its matrix products like them (50257 of bf16 are not); their gradient overwrites them.
Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& labels, double label_smoothing = 0);

// x, target of one shape -> [1]: the mean of (x - target)^2 over all elements. Differentiable in both.
Tensor mse(const Tensor& x, const Tensor& target);

}  // namespace graft
