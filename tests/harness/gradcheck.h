// Autograd against four-point differences in double on `ref`: the whole chain of op, closure and reference kernel.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace graft::harness {

struct GradcheckOptions {
  double step = 1e-3;          // error of the formula: step^4; of the arithmetic: 1e-16 / step
  double tolerance = 1e-7;     // of the largest gradient
  int64_t max_elements = 400;  // per input: more are sampled
};

// f maps float tensors to one tensor. Inputs are double tensors on ref; those with requires_grad are checked.
// Returns an empty string, or what is wrong.
std::string gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f, std::vector<Tensor> inputs,
                      GradcheckOptions options = {});

// Standard normal values in double on ref, requiring a gradient.
Tensor random_input(Shape, uint64_t key);
// Evenly spaced distinct values in (-2, 2), shuffled: for max and for kinks at 0 (none is closer than 1 / numel to 0).
Tensor distinct_input(Shape, uint64_t key);

}  // namespace graft::harness
