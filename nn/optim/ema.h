// Exponential moving average of weights (Polyak & Juditsky 1992): average = decay average + (1 - decay) weight.
#pragma once
#include "nn/module.h"

namespace graft::nn {

class Ema {
 public:
  // The averages start as copies of the tensors: parameters and, if wanted, buffers. ConfigError: decay not in [0, 1).
  Ema(NamedTensors tensors, double decay);

  void update();  // after every optimizer step
  void swap();    // averages into the network and its weights out; a second call undoes it
  const NamedTensors& averages() const { return averages_; }  // for checkpoints; copy_from restores

 private:
  NamedTensors tensors_, averages_;
  double decay_;
};

}  // namespace graft::nn
