#include "kernels/optim/sgd.h"

#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

// One step over several tensors, each with its own rate and decay. `clipped`: rate and clipping from a StepState. `rounded`: a
// copy of the weights in the type of the network is written too.
void add_step(Tier tier, const std::vector<int64_t>& n, SgdParams params, bool clipped, bool rounded, double squares = 4) {
  const bool momentum = params.momentum != 0;
  const auto name = fmt::format("n={} momentum={} nesterov={}{}", sizes_text(n), params.momentum, params.nesterov,
                                clipped ? fmt::format(" clipped squares={}", squares) : "");
  Case c{Op::sgd, Pass::step, name, tier, {}, {}, {}, {}};
  double total = 0;
  for (int64_t k : n) {
    c.args.insert(c.args.end(), {in_out(k), in(k), momentum ? in_out(k) : absent(), rounded ? out(k) : absent()});
    total += double(k);
  }
  c.cost = {.reduction = 4,
            .flops = 6 * total,
            .bytes = (momentum ? 20 : 12) * total,
            .scale = n.size() > 3 ? 1.0 : 0.0};  // of the weights
  c.dtypes = [count = n.size()](DType real) {
    const DType a = accumulate(real);
    std::vector<DType> types;
    for (size_t i = 0; i < count; ++i) types.insert(types.end(), {a, real, a, real});
    return types;
  };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const StepState state{.lr = 0.75, .max_norm = 0.5, .squares = squares};
    std::optional<Placed> placed;
    if (clipped) placed.emplace(&state, sizeof(state), backend, context);
    const auto go = [&]<class T>(T) {
      using A = Accumulate<T>;
      std::vector<SgdTensor<T>> list;
      for (size_t i = 0; i < n.size(); ++i)
        list.push_back({static_cast<A*>(args[4 * i]), static_cast<const T*>(args[4 * i + 1]), static_cast<A*>(args[4 * i + 2]),
                        n[i], 0.02 / double(i % 3 + 1), i % 3 == 1 ? 0 : 5e-4, static_cast<T*>(args[4 * i + 3])});
      SgdParams p = params;
      p.state = placed ? placed->get<StepState>() : nullptr;
      reinterpret_cast<SgdStep<T>*>(find_kernel(Op::sgd, Pass::step, backend, real, typeid(SgdStep<T>)))(context, list, p);
    };
    real == DType::f64 ? go(double{}) : real == DType::bf16 ? go(BFloat16{}) : go(float{});
  };
  add(std::move(c));
}

}  // namespace

void add_sgd(Tier tier, const std::vector<int64_t>& sizes, double momentum, bool nesterov) {
  add_step(tier, sizes, {momentum, nesterov}, false, false);
}

GRAFT_CASES(sgd) {
  for (const std::vector<int64_t>& n : {std::vector<int64_t>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (SgdParams p : {SgdParams{0, false}, {0.9, false}, {0.9, true}})
      for (bool clipped : {false, true}) add_step(n[0] < 100 ? Tier::smoke : Tier::ci, n, p, clipped, !clipped);
  add_step(Tier::smoke, {1, 9, 17}, {0.9, false}, true, false, INFINITY);  // a norm that clips nothing
  for (SgdParams p : {SgdParams{0, false}, {0.9, false}}) add_step(Tier::ci, many_tensors(), p, true, true);
}

}  // namespace graft::harness
