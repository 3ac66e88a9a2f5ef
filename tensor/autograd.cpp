#include "tensor/autograd.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "tensor/ops/axpby.h"
#include "tensor/ops/binary.h"

namespace graft {
namespace {

thread_local bool enabled = true;
std::atomic<uint64_t> order{0};

// Every node below `root`, latest first: an op is created after its inputs, so this is a topological order.
std::vector<std::shared_ptr<Node>> nodes_below(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> found{root};
  std::unordered_map<Node*, bool> seen{{root.get(), true}};
  for (size_t i = 0; i < found.size(); ++i)
    for (const Tensor& x : found[i]->inputs)
      if (x && x.node() && seen.emplace(x.node().get(), true).second) found.push_back(x.node());
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a->order > b->order; });
  return found;
}

// sum = sum + g. The first gradient is kept as it is, and may be somebody else's: the first addition makes a tensor of its own.
void accumulate(Tensor& sum, bool& owned, const Tensor& g) {
  if (sum && owned) return add_inplace(sum, g);
  owned = sum.defined();
  sum = sum ? add(sum, g) : g;
}

}  // namespace

bool grad_enabled() { return enabled; }
NoGrad::NoGrad() : previous_(std::exchange(enabled, false)) {}
NoGrad::~NoGrad() { enabled = previous_; }

void record(const char* op, const Tensor& y, std::vector<Tensor> inputs, const std::function<Gradient()>& gradient) {
  const bool needed = enabled && std::any_of(inputs.begin(), inputs.end(), [](auto& x) { return x.requires_grad(); });
  if (!needed) return;
  Gradient g = gradient();
  if (g.kind_ == Gradient::Kind::non_differentiable) return;
  check<NotImplemented>(g.kind_ == Gradient::Kind::fn, "{}: has no backward, and an input needs a gradient", op);
  auto node = std::make_shared<Node>();
  node->op = op;
  node->order = ++order;
  for (const Tensor& x : inputs) node->versions.push_back(x ? x.version() : 0);
  node->inputs = std::move(inputs);
  node->output_shape = y.shape();
  node->backward = std::move(g.fn_);
  y.set_node(std::move(node));
}

void run_backward(const Tensor& y, const Tensor& dy) {
  check<Error>(y.requires_grad(), "backward: no input of this tensor's graph requires a gradient");
  check<ShapeError>(dy.shape() == y.shape(), "backward: dy: expected {}, got {}", y.shape(), dy.shape());
  NoGrad guard;
  if (y.is_leaf()) {
    Tensor sum = y.grad();
    bool owned = false;
    accumulate(sum, owned, dy);
    return y.set_grad(sum);
  }
  struct Pending {
    Tensor grad;
    bool owned;
  };
  std::unordered_map<Node*, Pending> pending{{y.node().get(), {dy, false}}};
  for (const auto& node : nodes_below(y.node())) {
    Pending& mine = pending[node.get()];
    if (!mine.grad) continue;  // no gradient flows here
    check<Error>(bool(node->backward), "backward: the graph below {} was already freed by an earlier backward", node->op);
    Needs needs;
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Tensor& x = node->inputs[i];
      needs.add(x.requires_grad(), x.requires_grad() && x.node() ? &pending[x.node().get()].grad : nullptr);
      check<Error>(!x || x.version() == node->versions[i],
                   "backward: input {} of {} was changed in place after the op ran; its gradient would be wrong", i, node->op);
    }
    std::vector<Tensor> grads = node->backward(mine.grad, needs);
    check<InternalError>(grads.size() == node->inputs.size(), "backward: {} returned {} gradients for {} inputs", node->op,
                         grads.size(), node->inputs.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!needs[i]) continue;
      const Tensor& x = node->inputs[i];
      check<InternalError>(grads[i].defined(), "backward: {} lost the gradient of its input {}", node->op, i);
      check<InternalError>(grads[i].shape() == x.shape(), "backward: {}: gradient of input {}: expected {}, got {}", node->op, i,
                           x.shape(), grads[i].shape());
      if (x.node()) {
        Pending& p = pending[x.node().get()];
        accumulate(p.grad, p.owned, grads[i]);
      } else {
        Tensor sum = x.grad();
        bool owned = false;
        accumulate(sum, owned, grads[i]);
        x.set_grad(sum);
      }
    }
    pending.erase(node.get());
    node->backward = nullptr;  // frees the saved tensors
    node->inputs.clear();
  }
}

void Tensor::backward(const Tensor& dy) const { run_backward(*this, dy); }
void Tensor::backward() const {
  check<ShapeError>(numel() == 1, "backward: expected a one-element loss, got {}", shape());
  run_backward(*this, Tensor::full(shape(), 1, dtype(), device()));
}

}  // namespace graft
