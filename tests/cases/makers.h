// Cases from parameters: what the case files of the ops and the suites of the benchmark (bench/suites) share.
#pragma once
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/elementwise/activation.h"
#include "kernels/embedding/embedding.h"
#include "kernels/loss/loss.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matmul.h"
#include "kernels/norm/norm.h"
#include "kernels/pool2d/pool2d.h"
#include "kernels/softmax/softmax.h"
#include "tests/harness/cases.h"

namespace graft::harness {

enum class Affine { no, yes };  // a norm's weight and bias
enum class Bias { absent, present };
enum class Residual { absent, present };
enum class Padding { none, random };  // lengths of the sequences of a batch

// Each adds every pass of its op.
void add_matmul(Tier, const MatmulParams&);
void add_linear(Tier, const LinearParams&, Bias, Residual = Residual::absent);
void add_conv2d(Op, Tier, const Conv2dParams&, Bias);  // conv2d or depthwise_conv2d
void add_attention(Tier, const AttentionParams&, Padding = Padding::none);
void add_batch_norm(Tier, int64_t rows, int64_t channels, Affine, Activation = Activation::none, Residual = Residual::absent);
void add_batch_norm_frozen(Tier, int64_t rows, int64_t channels, Affine, Activation = Activation::none,
                           Residual = Residual::absent);
void add_layer_norm(Tier, int64_t rows, int64_t channels, Affine);
void add_softmax(Op, Tier, const SoftmaxParams&);  // softmax or log_softmax
void add_cross_entropy(Tier, const CrossEntropyParams&);
void add_activation(Tier, const ActivationParams&);
void add_sum(Tier, int64_t n);                                              // binary: y = a + b, element by element
void add_channel_scale(Tier, int64_t n, int64_t pixels, int64_t channels);  // binary: y[n, i, c] = a[n, i, c] b[n, c]
void add_embedding(Tier, const EmbeddingParams&);
void add_max_pool2d(Tier, int64_t n, int64_t h, int64_t w, int64_t c, int64_t kernel, int64_t stride, int64_t padding);
void add_avg_pool2d(Tier, int64_t n, int64_t h, int64_t w, int64_t c, int64_t kernel, int64_t stride, int64_t padding);
void add_sgd(Tier, const std::vector<int64_t>& sizes, double momentum, bool nesterov);
void add_adamw(Tier, const std::vector<int64_t>& sizes, int64_t step);

}  // namespace graft::harness
