#include "kernels/optim/sgd.h"

#include <fmt/core.h>

#include "tests/cases/makers.h"

namespace graft::harness {

// One step over several tensors, each with its own rate and decay.
void add_sgd(Tier tier, const std::vector<int64_t>& sizes, double momentum, bool nesterov) {
  const SgdParams params{momentum, nesterov};
  const size_t count = sizes.size();
  Case c{Op::sgd, Pass::step, fmt::format("n={} momentum={} nesterov={}", sizes_text(sizes), momentum, nesterov), tier, {}, {},
         {},      {}};
  double total = 0;
  for (int64_t k : sizes) {
    c.args.insert(c.args.end(), {in_out(k), in(k), momentum != 0 ? in_out(k) : absent()});
    total += double(k);
  }
  c.cost = {.reduction = 4, .flops = 6 * total, .bytes = (momentum != 0 ? 20 : 12) * total};
  c.dtypes = [count](DType real) { return std::vector<DType>(3 * count, real); };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      std::vector<SgdTensor<T>> list;
      for (size_t i = 0; i < count; ++i)
        list.push_back({static_cast<T*>(args[3 * i]), static_cast<const T*>(args[3 * i + 1]), static_cast<T*>(args[3 * i + 2]),
                        sizes[i], 0.02 / double(i % 3 + 1), i % 3 == 1 ? 0 : 5e-4});
      reinterpret_cast<SgdStep<T>*>(find_kernel(Op::sgd, Pass::step, backend, real, typeid(SgdStep<T>)))(context, list, params);
    };
    real == DType::f64 ? go(double{}) : go(float{});
  };
  add(std::move(c));
}

GRAFT_CASES(sgd) {
  for (const std::vector<int64_t>& n : {std::vector<int64_t>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (SgdParams p : {SgdParams{0, false}, {0.9, false}, {0.9, true}})
      add_sgd(n[0] < 100 ? Tier::smoke : Tier::ci, n, p.momentum, p.nesterov);
}

}  // namespace graft::harness
