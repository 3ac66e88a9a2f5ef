#include "kernels/optim/global_norm.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {
namespace {

void add_norm(std::array<int64_t, 3> n, GlobalNormParams params) {
  const int64_t total = n[0] + n[1] + n[2];
  Case c{Op::global_norm,
         Pass::forward,
         fmt::format("n={},{},{}{}", n[0], n[1], n[2], params.more ? " more" : ""),
         total < 300 ? Tier::smoke : Tier::ci,
         {params.more ? in_out_uniform(1, 0, 1) : out(1), in(n[0]), in(n[1]), in(n[2])},
         {.reduction = double(total), .flops = 2 * double(total), .bytes = 4 * double(total)},
         {},
         {}};
  c.dtypes = [](DType real) { return std::vector<DType>{DType::f64, real, real, real}; };
  c.run = [=](Context& context, Backend backend, DType real, std::vector<void*>& args) {
    const auto go = [&]<class T>(T) {
      std::vector<NormTensor<T>> list;
      for (size_t i = 0; i < 3; ++i) list.push_back({static_cast<const T*>(args[i + 1]), n[i]});
      const AnyKernel kernel = find_kernel(Op::global_norm, Pass::forward, backend, real, typeid(GlobalNormForward<T>));
      reinterpret_cast<GlobalNormForward<T>*>(kernel)(context, static_cast<double*>(args[0]), list, params);
    };
    real == DType::f64 ? go(double{}) : real == DType::bf16 ? go(BFloat16{}) : go(float{});
  };
  add(std::move(c));
}

}  // namespace

GRAFT_CASES(global_norm) {
  for (std::array<int64_t, 3> n : {std::array<int64_t, 3>{1, 9, 17}, {0, 0, 0}, {8192, 8193, 3}, {100003, 0, 64}})
    for (bool more : {false, true}) add_norm(n, {more});
}

}  // namespace graft::harness
