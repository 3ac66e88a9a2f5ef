// Normalisation layers; the formulas stand in tensor/ops/norm.h.
#pragma once
#include "nn/init.h"
#include "tensor/ops/norm.h"

namespace graft::nn {

// What all of them share: weight (initially 1) and bias (initially 0) of one number a channel.
class NormLayer : public Module {
 public:
  Tensor weight, bias;  // [channels]

 protected:
  NormLayer(int64_t channels, double eps);
  void reset(Init, uint64_t, const std::string&) override;
  bool keeps_f32() const override { return true; }
  double eps_;
};

// Frozen or in evaluation mode: normalises with the running statistics and leaves them.
class BatchNorm2d : public NormLayer {
 public:
  explicit BatchNorm2d(int64_t channels, BatchNormOptions options = {});
  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  // f(norm of x + residual): the end of a residual block. statistics of x, where it learns and something has made them already.
  Tensor forward(const Tensor& x, const Tensor& residual, const Tensor& statistics = {}) {
    return batch_norm(x, weight, bias, running_mean, running_var, learns(), options_, residual, statistics);
  }
  bool learns() const { return training() && !frozen(); }  // normalises with the statistics of x
  Tensor running_mean, running_var;                        // buffers [channels], initially 0 and 1

 private:
  void reset(Init, uint64_t, const std::string&) override;
  BatchNormOptions options_;
};

class GroupNorm : public NormLayer {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-5);
  Tensor forward(const Tensor& x) override { return group_norm(x, weight, bias, groups_, eps_); }

 private:
  int64_t groups_;
};

class InstanceNorm2d : public NormLayer {
 public:
  explicit InstanceNorm2d(int64_t channels, double eps = 1e-5) : NormLayer(channels, eps) {}
  Tensor forward(const Tensor& x) override { return instance_norm(x, weight, bias, eps_); }
};

class LayerNorm : public NormLayer {
 public:
  explicit LayerNorm(int64_t features, double eps = 1e-5) : NormLayer(features, eps) {}
  Tensor forward(const Tensor& x) override { return layer_norm(x, weight, bias, eps_); }
};

// Local response normalisation; the defaults are CaffeNet's.
class Lrn : public Module {
 public:
  explicit Lrn(int64_t size = 5, double alpha = 1e-4, double beta = 0.75, double k = 1)
      : size_(size), alpha_(alpha), beta_(beta), k_(k) {}
  Tensor forward(const Tensor& x) override { return lrn(x, size_, alpha_, beta_, k_); }

 private:
  int64_t size_;
  double alpha_, beta_, k_;
};

}  // namespace graft::nn
