// Accuracy and loss of a network over a data set.
#pragma once
#include <cstdint>

#include "tensor/tensor.h"
#include "transfer/preprocess.h"

namespace graft::nn {
class Chain;
}
namespace graft::io {
struct Dataset;
}

namespace graft::transfer {

class Activations;

struct Evaluation {
  int64_t items = 0;
  int64_t correct = 0;  // largest logit at the label; the lowest index wins a tie, NaN is never correct
  double accuracy = 0;
  double loss = 0;  // mean cross-entropy, summed in double
};

struct EvaluateOptions {
  int64_t batch = 250;               // images at once: changes memory and time, never the numbers
  Preprocessing preprocessing = {};  // its random parts are left out
};

// In eval mode and without a graph; the mode of `chain` is as before afterwards. Throws ShapeError when the images do not
// fit the network, ConfigError when a label is not one of its outputs or the prefix is of other weights or data.
Evaluation evaluate(nn::Chain& chain, const io::Dataset&, const EvaluateOptions& = {}, const Activations* prefix = nullptr);

// Logits [N, classes] of all images, in their order.
Tensor predict(nn::Chain& chain, const io::Dataset&, const EvaluateOptions& = {}, const Activations* prefix = nullptr);

// Of logits [N, classes] against labels i64 [N].
Evaluation score(const Tensor& logits, const Tensor& labels);

}  // namespace graft::transfer
