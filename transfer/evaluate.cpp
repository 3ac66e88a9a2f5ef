#include "transfer/evaluate.h"

#include <cmath>

#include "io/datasets/loader.h"
#include "nn/chain.h"
#include "tensor/autograd.h"
#include "transfer/cache.h"
#include "transfer/mode.h"

namespace graft::transfer {
Tensor predict(nn::Chain& chain, const io::Dataset& data, const EvaluateOptions& options, const Activations* prefix) {
  check<ConfigError>(data.size() > 0, "evaluate: {}: there are no images", data.name);
  check<ConfigError>(options.batch > 0, "evaluate: batch: expected at least 1, got {}", options.batch);
  const Preprocessing preprocessing = options.preprocessing.for_evaluation();
  if (prefix) prefix->check_fits(chain, data, preprocessing);
  const nn::NamedTensors parameters = chain.named_parameters();
  check<ConfigError>(!parameters.empty(), "evaluate: the network has no parameters");
  const DType dtype = parameters[0].second.dtype();
  const Device device = parameters[0].second.device();
  io::Loader loader(data, {.batch_size = options.batch,
                           .shuffle = false,
                           .last_batch = io::LastBatch::keep,
                           .normalization = preprocessing.normalization,
                           .augment = preprocessing.augment});
  NoGrad no_grad;
  EvalMode eval(chain);
  Tensor all;
  for (int64_t begin = 0, b = 0; begin < data.size(); begin += options.batch, ++b) {
    const int64_t end = std::min(begin + options.batch, data.size());
    const Tensor x = (prefix ? prefix->rows(begin, end) : loader.batch(b).x.to(dtype)).to(device);
    const Tensor y = chain.forward(x, prefix ? int(prefix->blocks()) : 0, chain.size());
    check<ShapeError>(y.rank() == 2 && y.size(0) == end - begin, "evaluate: logits: expected [{}, classes], got {}", end - begin,
                      y.shape());
    if (!all) all = Tensor::empty({data.size(), y.size(1)}, y.dtype());
    all.rows(begin, end).copy_from(y);
  }
  return all;
}

Evaluation score(const Tensor& logits, const Tensor& labels) {
  check<ShapeError>(logits.rank() == 2 && labels.shape() == Shape{logits.size(0)},
                    "score: expected logits [N, classes] and labels [N], got {} and {}", logits.shape(), labels.shape());
  const int64_t n = logits.size(0), classes = logits.size(1);
  const std::vector<double> values = logits.to_vector<double>();
  const int64_t* label = labels.data<int64_t>();
  Evaluation e;
  e.items = n;
  double loss = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double* row = values.data() + i * classes;
    check<ConfigError>(0 <= label[i] && label[i] < classes, "score: item {}: label {} with {} outputs", i, label[i], classes);
    int64_t best = 0;
    bool nan = std::isnan(row[0]);
    for (int64_t c = 1; c < classes; ++c) {
      nan |= std::isnan(row[c]);
      if (row[c] > row[best]) best = c;
    }
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - row[best]);
    loss += std::log(sum) + row[best] - row[label[i]];
    e.correct += !nan && best == label[i];
  }
  e.loss = n ? loss / double(n) : 0;
  e.accuracy = n ? double(e.correct) / double(n) : 0;
  return e;
}

Evaluation evaluate(nn::Chain& chain, const io::Dataset& data, const EvaluateOptions& options, const Activations* prefix) {
  return score(predict(chain, data, options, prefix), data.labels);
}

}  // namespace graft::transfer
