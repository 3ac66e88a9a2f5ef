// Activations as layers of their own. Linear and Conv2d can carry one inside, which is faster.
#pragma once
#include "nn/module.h"
#include "tensor/ops/activation.h"

namespace graft::nn {

class ActivationLayer : public Module {
 public:
  explicit ActivationLayer(Activation kind) : kind_(kind) {}
  Tensor forward(const Tensor& x) override { return kind_ == Activation::none ? x : activation(x, kind_); }

 private:
  Activation kind_;
};

struct Identity : ActivationLayer {
  Identity() : ActivationLayer(Activation::none) {}
};
struct ReLU : ActivationLayer {
  ReLU() : ActivationLayer(Activation::relu) {}
};
struct ReLU6 : ActivationLayer {
  ReLU6() : ActivationLayer(Activation::relu6) {}
};
struct GELU : ActivationLayer {
  GELU() : ActivationLayer(Activation::gelu) {}
};
struct GELUTanh : ActivationLayer {
  GELUTanh() : ActivationLayer(Activation::gelu_tanh) {}
};
struct SiLU : ActivationLayer {
  SiLU() : ActivationLayer(Activation::silu) {}
};
struct Tanh : ActivationLayer {
  Tanh() : ActivationLayer(Activation::tanh) {}
};
struct Sigmoid : ActivationLayer {
  Sigmoid() : ActivationLayer(Activation::sigmoid) {}
};

}  // namespace graft::nn
