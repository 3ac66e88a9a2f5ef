// The gradient of a cast is a cast: exact where the values fit, rounded once where they do not.
#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "kernels/common/half.h"
#include "kernels/common/registry.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/cast.h"
#include "tensor/ops/reduce.h"
#include "tests/harness/skip.h"

using namespace graft;

namespace {

void check_on(Device device) {
  const Tensor x = Tensor::from<float>({1.0f, 1.00390625f, -2.5f, 3.1415927f}, {4}).to(device);
  x.set_requires_grad(true);
  const Tensor y = cast(x, DType::bf16);
  CHECK(y.dtype() == DType::bf16);
  CHECK(y.to_vector<float>() == std::vector<float>{1.0f, 1.0f, -2.5f, 3.140625f});  // ties to even
  const Tensor back = cast(y, DType::f32);
  CHECK(back.to_vector<float>() == y.to_vector<float>());
  const Tensor dy = Tensor::from<float>({1.0f, 2.0f, 1.00390625f, -3.1415927f}, {4}).to(device);
  back.backward(dy);
  CHECK(x.grad().dtype() == DType::f32);
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1.0f, 2.0f, 1.0f, -3.140625f});
}

}  // namespace

TEST_CASE("gradient cast on cpu") { check_on({Backend::cpu}); }
TEST_CASE("gradient cast on emu") {
  if (!has_kernel(Op::cast, Pass::forward, Backend::emu, DType::bf16)) return harness::not_run("this build has no emu kernels");
  check_on({Backend::emu});
}
TEST_CASE("cast: other types are refused by name") {
  CHECK_THROWS_WITH_AS(cast(Tensor::zeros({2}), DType::f64), "cast: expected f32 and bf16, got f32 to f64", DtypeError);
  const Tensor x = Tensor::zeros({2});
  CHECK(cast(x, DType::f32).same_as(x));
}
