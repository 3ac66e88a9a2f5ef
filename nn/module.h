// Module: a node of the tree that a network is. It owns named parameters (trained), named buffers (kept, not trained) and
// children; paths are dotted and use PyTorch's names: "conv1.weight", "layer1.0.bn1.running_mean".
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "kernels/common/philox.h"
#include "tensor/tensor.h"

namespace graft::nn {

enum class Init;  // nn/init.h

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;  // parameters are registered by address
  Module& operator=(const Module&) = delete;

  // x: [N, ...] with images as [N, H, W, C], token ids as i64 [N, T]. ShapeError when x does not fit.
  virtual Tensor forward(const Tensor& x) = 0;
  // cross_entropy(forward(x), labels[N]) without keeping the logits: their gradient overwrites them (tensor/ops/loss.h). Of a
  // module that ends in a linear layer.
  virtual Tensor loss(const Tensor& x, const Tensor& labels, double label_smoothing = 0);

  // Shapes alone, nothing is computed: x is what forward would get, the result what it would return.
  virtual Shape output_shape(const Shape& x) const { return x; }
  // Multiply-adds of one forward pass of convolutions and matrix products; the rest is not counted, as is the custom.
  virtual int64_t multiply_adds(const Shape& /*x*/) const { return 0; }

  // Whole tree, own tensors first, then the children in definition order. The tensors share their data with the module.
  NamedTensors named_parameters() const;
  NamedTensors named_buffers() const;
  std::vector<std::pair<std::string, Module*>> named_modules();  // this first, as ""
  const std::vector<std::pair<std::string, Module*>>& children() const { return children_; }

  // Training mode (the default) or evaluation, whole tree: batch norm and dropout differ.
  void train(bool on);
  bool training() const { return training_; }

  // Whole tree. Frozen: no parameter requires a gradient (one that is there is dropped), and batch norm computes with its
  // running statistics and never updates them, also in training mode. Dropout stays random.
  void set_frozen(bool on);
  bool frozen() const { return frozen_; }

  // Whether forward draws random numbers in training mode. What lies before the first random block is a pure function of x.
  virtual bool random() const;
  // Names the numbers of the next forward passes, whole tree: a layer draws from the stream of (key, its path, step), so
  // that its mask depends neither on the layers around it nor on how far the pass runs. Call it before every step.
  void set_random(uint64_t key, uint64_t step);

  // Tokens of each sample in the next forward passes that are no padding, i64 [N] on the device of x, whole tree; undefined
  // (the default): all of them. Attention reads no key behind them; what stands in the rows of padding means nothing.
  void set_lengths(const Tensor& lengths);

  // Converts all parameters and buffers, whole tree; gradients are dropped. E.g. (f64, ref) for a test in double. What a module
  // keeps in full (keeps_f32) becomes f32 where dtype is bf16.
  void to(DType dtype, Device device);
  // Puts other tensors in the place of parameters, by name: what named_parameters() gave before a conversion. ShapeError;
  // ConfigError for a name that there is not.
  void set_parameters(const NamedTensors&);

 protected:
  void add_parameter(std::string name, Tensor& t);  // from now on t requires a gradient
  void add_buffer(std::string name, Tensor& t);
  void add_child(std::string name, Module& m);  // an empty name: m's tensors count as this module's own

 private:
  friend void initialize(Module&, Init, uint64_t key);
  // Fresh values for this module's own tensors: parameter p draws from the stream of (key, join_path(path, p)).
  virtual void reset(Init, uint64_t /*key*/, const std::string& /*path*/) {}
  virtual void set_stream(Philox) {}
  virtual void take_lengths(const Tensor& /*lengths*/) {}
  virtual bool keeps_f32() const { return false; }  // a norm: its parameters and statistics never are bf16

  std::vector<std::pair<std::string, Tensor*>> parameters_, buffers_;
  std::vector<std::pair<std::string, Module*>> children_;
  bool training_ = true, frozen_ = false;
};

std::string join_path(const std::string& prefix, const std::string& name);  // with a dot where both are there
int64_t parameter_count(const Module&);
NamedTensors trainable_parameters(const Module&);  // the named parameters that are not frozen: what an optimizer takes

}  // namespace graft::nn
