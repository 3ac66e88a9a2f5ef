// Layers that only rearrange.
#pragma once
#include "nn/module.h"

namespace graft::nn {

// x[N, ..] -> [N, rest]; of images the channel runs fastest.
class Flatten : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override { return {x[0], x.product(1, x.rank())}; }
};

// x[N, T, C] -> [N, C]: the first token, which stands for the sequence (BERT's [CLS]).
class FirstToken : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;
};

// Zero channels on both sides of the last dimension: x[.., C] -> [.., before + C + after].
class PadChannels : public Module {
 public:
  PadChannels(int64_t before, int64_t after) : before_(before), after_(after) {}
  Tensor forward(const Tensor& x) override;
  Shape output_shape(const Shape& x) const override;

 private:
  int64_t before_, after_;
};

}  // namespace graft::nn
