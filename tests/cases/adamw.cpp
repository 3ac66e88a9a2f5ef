#include "kernels/optim/adamw.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {
namespace {

void add_step(std::array<int64_t, 3> n, int64_t step) {
  const Tier tier = n[0] + n[1] + n[2] < 300 ? Tier::smoke : Tier::ci;
  Case c{Op::adamw, Pass::step, fmt::format("n={},{},{} step={}", n[0], n[1], n[2], step), tier, {}, {}, {}, {}};
  double total = 0;
  for (int64_t k : n) {
    c.args.insert(c.args.end(), {in_out(k), in(k), in_out(k), in_out_uniform(k, 0, 1)});
    total += double(k);
  }
  c.cost = {.reduction = 8, .flops = 14 * total, .bytes = 28 * total};
  c.dtypes = [](DType real) { return std::vector<DType>(12, real); };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      const auto at = [&](size_t i) { return static_cast<T*>(args[i]); };
      std::vector<AdamwTensor<T>> list;
      for (size_t i = 0; i < 3; ++i)
        list.push_back({at(4 * i), at(4 * i + 1), at(4 * i + 2), at(4 * i + 3), n[i], 1e-3 * double(i + 1), i == 1 ? 0 : 0.01});
      const AnyKernel kernel = find_kernel(Op::adamw, Pass::step, backend, real, typeid(AdamwStep<T>));
      reinterpret_cast<AdamwStep<T>*>(kernel)(context, list, {.step = step});
    };
    real == DType::f64 ? go(double{}) : go(float{});
  };
  add(std::move(c));
}

}  // namespace

GRAFT_CASES(adamw) {
  for (std::array<int64_t, 3> n : {std::array<int64_t, 3>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (int64_t step : {1, 10}) add_step(n, step);
}

}  // namespace graft::harness
