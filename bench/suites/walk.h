// Walks through networks: each layer adds its cases for one step at a batch size, and what the optimiser has to update.
#pragma once
#include "bench/suites/suites.h"
#include "tests/cases/makers.h"

namespace graft::bench {

// What both kinds of network have. Add the optimiser's case last.
class Walk {
 public:
  Walk(Mode mode, int64_t batch) : mode_(mode), batch_(batch) {}

  void sgd();  // momentum 0.9, over every parameter so far
  void adamw();

 protected:
  bool training() const { return mode_ == Mode::train; }
  void parameter(int64_t n) { parameters_.push_back(n); }
  void linear_rows(int64_t rows, int64_t in, int64_t out, Activation = Activation::none, harness::Bias = harness::Bias::present);
  void activation_of(Activation, int64_t n);
  void loss(int64_t rows, int64_t classes);

  const Mode mode_;
  const int64_t batch_;

 private:
  std::vector<int64_t> parameters_;
};

struct ConvOptions {
  int64_t stride = 1, padding = -1;  // -1: keeps the size at stride 1
  bool depthwise = false;
};

// Images [N, H, W, C]. Inference has its batch norms folded into the convolutions, as everyone deploys them.
class ImageWalk : public Walk {
 public:
  ImageWalk(Mode mode, int64_t batch, int64_t side, int64_t channels) : Walk(mode, batch), h_(side), c_(channels) {}

  int64_t channels() const { return c_; }
  int64_t side() const { return h_; }
  void conv(int64_t out, int64_t kernel, Activation, ConvOptions = {});       // with a bias, no norm
  void conv_norm(int64_t out, int64_t kernel, Activation, ConvOptions = {});  // batch norm, then the activation
  void conv_norm_add(int64_t out, int64_t kernel, Activation);                // conv_norm that adds a shortcut before it
  void shortcut(int64_t in_side, int64_t in, int64_t kernel, ConvOptions);    // conv_norm beside the path that was walked
  void add(Activation);                                                       // y = f(y + shortcut)
  void squeeze_excite(int64_t squeezed);                                      // Hu et al. 2018
  void max_pool(int64_t kernel, int64_t stride, int64_t padding);
  void global_average();
  void linear(int64_t out, Activation = Activation::none);  // of the flattened image
  void classify(int64_t classes) { loss(batch_, classes); }

 private:
  int64_t pixels() const { return batch_ * h_ * h_; }
  void convolve(int64_t out, int64_t kernel, Activation, ConvOptions, harness::Bias);
  void batch_norm(Activation, harness::Residual);
  int64_t h_, c_;
};

// Tokens [batch, T, D].
class TokenWalk : public Walk {
 public:
  TokenWalk(Mode mode, int64_t batch, int64_t tokens, int64_t features) : Walk(mode, batch), tokens_(tokens), d_(features) {}

  int64_t rows() const { return batch_ * tokens_; }
  void embedding(int64_t vocabulary);
  void learned(int64_t n) { parameter(n); }  // positions, class tokens: added by broadcasting
  void norm();
  // Attention and feed-forward, each with its norm and residual. keys: of a cache, more than the tokens.
  void block(int64_t heads, Activation, bool causal, harness::Padding = harness::Padding::none, int64_t keys = 0);
  void linear(int64_t rows, int64_t in, int64_t out, Activation f = Activation::none, harness::Bias bias = harness::Bias::present) {
    linear_rows(rows, in, out, f, bias);
  }
  void tied_head(int64_t vocabulary);  // the token embedding again, no parameter of its own
  void activation(Activation f, int64_t n) { activation_of(f, n); }
  using Walk::loss;

 private:
  int64_t tokens_, d_;
};

}  // namespace graft::bench
