#include "kernels/optim/adamw.h"

#include <fmt/format.h>

#include <numeric>

#include "tests/cases/makers.h"

namespace graft::harness {

std::string sizes_text(const std::vector<int64_t>& sizes) {
  if (sizes.size() > 3)
    return fmt::format("{} in {} tensors", std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), sizes.size());
  return fmt::format("{}", fmt::join(sizes, ","));
}

void add_adamw(Tier tier, const std::vector<int64_t>& sizes, int64_t step) {
  const size_t count = sizes.size();
  Case c{Op::adamw, Pass::step, fmt::format("n={} step={}", sizes_text(sizes), step), tier, {}, {}, {}, {}};
  double total = 0;
  for (int64_t k : sizes) {
    c.args.insert(c.args.end(), {in_out(k), in(k), in_out(k), in_out_uniform(k, 0, 1)});
    total += double(k);
  }
  c.cost = {.reduction = 8, .flops = 14 * total, .bytes = 28 * total};
  c.dtypes = [count](DType real) { return std::vector<DType>(4 * count, real); };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      const auto at = [&](size_t i) { return static_cast<T*>(args[i]); };
      std::vector<AdamwTensor<T>> list;
      for (size_t i = 0; i < count; ++i)
        list.push_back(
            {at(4 * i), at(4 * i + 1), at(4 * i + 2), at(4 * i + 3), sizes[i], 1e-3 * double(i % 3 + 1), i % 3 == 1 ? 0 : 0.01});
      const AnyKernel kernel = find_kernel(Op::adamw, Pass::step, backend, real, typeid(AdamwStep<T>));
      reinterpret_cast<AdamwStep<T>*>(kernel)(context, list, {.step = step});
    };
    real == DType::f64 ? go(double{}) : go(float{});
  };
  add(std::move(c));
}

GRAFT_CASES(adamw) {
  for (const std::vector<int64_t>& n : {std::vector<int64_t>{1, 9, 17}, {8192, 8193, 3}, {100003, 0, 64}})
    for (int64_t step : {1, 10}) add_adamw(n[0] < 100 ? Tier::smoke : Tier::ci, n, step);
}

}  // namespace graft::harness
