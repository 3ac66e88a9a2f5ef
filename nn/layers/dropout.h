// Dropout (Srivastava et al. 2014): in training every element is zero with probability p and divided by 1 - p otherwise.
// Also when frozen: dropout has nothing to freeze.
#pragma once
#include <optional>

#include "nn/module.h"

namespace graft::nn {

class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5);  // 0 <= p < 1, ConfigError otherwise
  // Error in training mode before set_random(): a mask that never changes is no dropout.
  Tensor forward(const Tensor& x) override;
  bool drops() const { return training() && p_ != 0; }  // else forward(x) is x
  bool random() const override { return p_ > 0; }

 private:
  void set_stream(Philox stream) override { stream_ = stream; }
  double p_;
  std::optional<Philox> stream_;
};

}  // namespace graft::nn
