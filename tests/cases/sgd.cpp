#include "kernels/optim/sgd.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {
namespace {

// Three tensors in one step: the sizes of the case, each with its own rate and decay.
void add_step(std::array<int64_t, 3> n, SgdParams params) {
  const bool momentum = params.momentum != 0;
  const Tier tier = n[0] + n[1] + n[2] < 300 ? Tier::smoke : Tier::ci;
  Case c{Op::sgd, Pass::step, fmt::format("n={},{},{} momentum={} nesterov={}", n[0], n[1], n[2], params.momentum, params.nesterov),
         tier,    {},         {},
         {},      {}};
  double total = 0;
  for (int64_t k : n) {
    c.args.insert(c.args.end(), {in_out(k), in(k), momentum ? in_out(k) : absent()});
    total += double(k);
  }
  c.cost = {.reduction = 4, .flops = 6 * total, .bytes = 20 * total};
  c.dtypes = [](DType real) { return std::vector<DType>(9, real); };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      std::vector<SgdTensor<T>> list;
      for (size_t i = 0; i < 3; ++i)
        list.push_back({static_cast<T*>(args[3 * i]), static_cast<const T*>(args[3 * i + 1]), static_cast<T*>(args[3 * i + 2]),
                        n[i], 0.02 / double(i + 1), i == 1 ? 0 : 5e-4});
      reinterpret_cast<SgdStep<T>*>(find_kernel(Op::sgd, Pass::step, backend, real, typeid(SgdStep<T>)))(context, list, params);
    };
    real == DType::f64 ? go(double{}) : go(float{});
  };
  add(std::move(c));
}

}  // namespace

GRAFT_CASES(sgd) {
  for (std::array<int64_t, 3> n : {std::array<int64_t, 3>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (SgdParams params : {SgdParams{0, false}, {0.9, false}, {0.9, true}}) add_step(n, params);
}

}  // namespace graft::harness
