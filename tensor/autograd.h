// The tape. An op that ran on inputs with requires_grad records a Node: its inputs and a closure that maps the gradient
// of its output to the gradients of its inputs. The closure's capture list is the list of saved tensors.
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace graft {

// What is asked of a closure. needs[i]: input i takes part in a graph; its gradient need not be computed otherwise.
class Needs {
 public:
  bool operator[](size_t i) const { return needed_[i]; }
  // The gradient that input i has so far from ops that came later, if any. Whoever takes it returns the sum: one that writes a
  // gradient anyway adds for the price of a read.
  Tensor take(size_t i) const { return so_far_[i] ? std::exchange(*so_far_[i], Tensor()) : Tensor(); }
  void add(bool needed, Tensor* so_far) { needed_.push_back(needed), so_far_.push_back(so_far); }

 private:
  std::vector<bool> needed_;
  std::vector<Tensor*> so_far_;
};
// Returns one gradient per input, in order; undefined for inputs that do not need one.
using BackwardFn = std::function<std::vector<Tensor>(const Tensor& dy, const Needs& needs)>;

// How an op treats gradients. There is no default: an op that has no backward must say so, and throws NotImplemented
// when it is recorded on an input that needs one. (A silently frozen layer looks exactly like a transfer result.)
class Gradient {
 public:
  Gradient(BackwardFn fn) : fn_(std::move(fn)) {}  // NOLINT: record(..., [..](dy, needs) {...}) reads as it should
  static Gradient missing() { return Gradient(Kind::missing); }
  static Gradient non_differentiable() { return Gradient(Kind::non_differentiable); }

 private:
  enum class Kind { fn, missing, non_differentiable };
  explicit Gradient(Kind k) : kind_(k) {}
  Kind kind_ = Kind::fn;
  BackwardFn fn_;
  friend void record(const char*, const Tensor&, std::vector<Tensor>, const std::function<Gradient()>&);
};

// Called at the end of every op with its output and inputs; `gradient` is called only when the op is recorded.
void record(const char* op, const Tensor& y, std::vector<Tensor> inputs, const std::function<Gradient()>& gradient);
template <class F>
  requires std::is_convertible_v<F, BackwardFn>
void record(const char* op, const Tensor& y, std::vector<Tensor> inputs, F fn) {
  record(op, y, std::move(inputs), std::function<Gradient()>([&] { return Gradient(BackwardFn(std::move(fn))); }));
}

struct Node {
  const char* op;
  uint64_t order;  // creation order: backward runs from the latest to the earliest
  std::vector<Tensor> inputs;
  std::vector<uint64_t> versions;  // of the inputs when recorded
  Shape output_shape;
  BackwardFn backward;
};

bool grad_enabled();
class NoGrad {  // ops of this thread are not recorded in its scope
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;

 private:
  bool previous_;
};

// Adds the gradients of a scalar loss to .grad() of every leaf. Calling it twice without zero_grad doubles them, except
// that the graph of a loss is freed by its first backward: the second call is an error.
void run_backward(const Tensor& y, const Tensor& dy);

}  // namespace graft
