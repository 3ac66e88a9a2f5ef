#include "kernels/optim/adamw.h"

#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

// From: the arguments of the call, or a StepState in memory, with or without clipping; infinite: by a norm that clips nothing.
enum class From { arguments, state, clipped, infinite };

// `rounded`: a copy of the weights in the type of the network is written too.
void add_step(Tier tier, const std::vector<int64_t>& n, int64_t step, From from, bool rounded) {
  Case c{Op::adamw, Pass::step, fmt::format("n={} step={} from={}", sizes_text(n), step, int(from)), tier, {}, {}, {}, {}};
  double total = 0;
  for (int64_t k : n) {
    c.args.insert(c.args.end(), {in_out(k), in(k), in_out(k), in_out_uniform(k, 0, 1), rounded ? out(k) : absent()});
    total += double(k);
  }
  c.cost = {.reduction = 8, .flops = 14 * total, .bytes = 28 * total, .scale = n.size() > 3 ? 1.0 : 0.0};  // of the weights
  c.dtypes = [count = n.size()](DType real) {
    const DType a = accumulate(real);
    std::vector<DType> types;
    for (size_t i = 0; i < count; ++i) types.insert(types.end(), {a, real, a, a, real});
    return types;
  };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const StepState state{
        .lr = 0.75, .step = step, .max_norm = from >= From::clipped ? 0.5 : 0.0, .squares = from == From::infinite ? INFINITY : 4};
    std::optional<Placed> placed;
    if (from != From::arguments) placed.emplace(&state, sizeof(state), backend, context);
    const auto go = [&]<class T>(T) {
      using A = Accumulate<T>;
      std::vector<AdamwTensor<T>> list;
      for (size_t i = 0; i < n.size(); ++i)
        list.push_back({static_cast<A*>(args[5 * i]), static_cast<T*>(args[5 * i + 1]), static_cast<A*>(args[5 * i + 2]),
                        static_cast<A*>(args[5 * i + 3]), n[i], 1e-3 * double(i % 3 + 1), i % 3 == 1 ? 0 : 0.01,
                        static_cast<T*>(args[5 * i + 4])});
      const AnyKernel kernel = find_kernel(Op::adamw, Pass::step, backend, real, typeid(AdamwStep<T>));
      reinterpret_cast<AdamwStep<T>*>(kernel)(context, list, {.step = step, .state = placed ? placed->get<StepState>() : nullptr});
    };
    real == DType::f64 ? go(double{}) : real == DType::bf16 ? go(BFloat16{}) : go(float{});
  };
  if (from == From::state && n.size() == 3) c.args[14] = absent();
  add(std::move(c));
}

}  // namespace

void add_adamw(Tier tier, const std::vector<int64_t>& sizes, int64_t step) { add_step(tier, sizes, step, From::arguments, false); }

GRAFT_CASES(adamw) {
  for (const std::vector<int64_t>& n : {std::vector<int64_t>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (int64_t step : {1, 10})
      for (From from : {From::arguments, From::state, From::clipped, From::infinite})
        add_step(n[0] < 100 ? Tier::smoke : Tier::ci, n, step, from, true);
  add_step(Tier::ci, many_tensors(), 3, From::clipped, true);
}

}  // namespace graft::harness
