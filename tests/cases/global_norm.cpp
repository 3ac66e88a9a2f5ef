#include "kernels/optim/global_norm.h"

#include <fmt/core.h>

#include <numeric>

#include "tests/harness/cases.h"

namespace graft::harness {
namespace {

void add_norm(const std::vector<int64_t>& n, GlobalNormParams params) {
  const int64_t total = std::accumulate(n.begin(), n.end(), int64_t{0});
  Case c{Op::global_norm,
         Pass::forward,
         fmt::format("n={}{}", sizes_text(n), params.more ? " more" : ""),
         total < 300 ? Tier::smoke : Tier::ci,
         {params.more ? in_out_uniform(1, 0, 1) : out(1)},
         {.reduction = double(total), .flops = 2 * double(total), .bytes = 4 * double(total)},
         {},
         {}};
  for (int64_t k : n) c.args.push_back(in(k));
  c.dtypes = [count = n.size()](DType real) {
    std::vector<DType> types(count + 1, real);
    types[0] = DType::f64;
    return types;
  };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      std::vector<NormTensor<T>> list;
      for (size_t i = 0; i < n.size(); ++i) list.push_back({static_cast<const T*>(args[i + 1]), n[i]});
      const AnyKernel kernel = find_kernel(Op::global_norm, Pass::forward, backend, real, typeid(GlobalNormForward<T>));
      reinterpret_cast<GlobalNormForward<T>*>(kernel)(context, static_cast<double*>(args[0]), list, params);
    };
    real == DType::f64 ? go(double{}) : real == DType::bf16 ? go(BFloat16{}) : go(float{});
  };
  add(std::move(c));
}

}  // namespace

GRAFT_CASES(global_norm) {
  for (const std::vector<int64_t>& n :
       {std::vector<int64_t>{1, 9, 17}, {0, 0, 0}, {8192, 8193, 3}, {100003, 0, 64}, {90000, 5, 100000, 70001}, many_tensors()})
    for (bool more : {false, true}) add_norm(n, {more});
}

}  // namespace graft::harness
