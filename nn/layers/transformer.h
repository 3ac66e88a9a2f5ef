// One layer of a transformer: self-attention and a two-layer perceptron, each with its residual sum and layer norm.
#pragma once
#include "nn/layers/attention.h"
#include "nn/layers/dropout.h"
#include "nn/layers/norm.h"

namespace graft::nn {

enum class NormPlace {
  pre,   // y = x + f(norm(x)): GPT-2 (Radford et al. 2019)
  post,  // y = norm(x + f(x)): Vaswani et al. 2017, BERT
};

struct TransformerOptions {
  int64_t dim = 0, heads = 1;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t hidden = 0;    // of the perceptron; 0: 4 dim
  bool causal = false;
  NormPlace norm = NormPlace::pre;
  Activation activation = Activation::gelu;
  double eps = 1e-5;
  double dropout = 0;  // of what attention and perceptron add to the sum; attention's probabilities have none
  Gaussian2014 gaussian{0.02, 0};
  Gaussian2014 residual_gaussian{0.02, 0};  // of the two layers that end in a residual sum
  struct Names {                            // of the six layers, in the order in which they run when norm is pre
    std::string norm1 = "norm1", qkv = "qkv", out = "out", norm2 = "norm2", expand = "expand", contract = "contract";
  } names = {};
};

class TransformerBlock : public Module {
 public:
  explicit TransformerBlock(const TransformerOptions&);  // x[N, T, dim] -> [N, T, dim]
  Tensor forward(const Tensor& x) override;
  int64_t multiply_adds(const Shape& x) const override;

 private:
  // x + layer(z), and what dropout leaves of layer(z) where there is any.
  template <class Layer>
  Tensor add_onto(const Tensor& x, Layer& layer, const Tensor& z, Dropout& drop);

  TransformerOptions options_;
  LayerNorm norm1_;
  SelfAttention attention_;
  LayerNorm norm2_;
  Linear expand_, contract_;
  Dropout drop1_, drop2_;
};

}  // namespace graft::nn
