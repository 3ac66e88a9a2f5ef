// Version 6 of matmul and linear on emu: exact where the arithmetic is exact, within the derived bound elsewhere.
#include "tests/kernels/matmul_check.h"

using namespace graft;

namespace {

template <class T>
void check_shapes() {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      check_matmul<T>({2, 136, 24, 72, ta, tb}, Inputs::integers);
      check_matmul<T>({1, 8, 136, 200, ta, tb, Write::accumulate}, Inputs::normal);
    }
  check_matmul<T>({1, 5, 13, 24, false, true}, Inputs::integers);  // ragged m and n
  check_matmul<T>({1, 8, 8, 0}, Inputs::normal);
}

}  // namespace

// As many products as fill a GPU with tiles of 128 x 128.
TEST_CASE("matmul: large tiles") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      const MatmulParams p{132, 72, 72, 8, ta, tb};
      check_matmul<float>(p, Inputs::integers, 5);
      check_matmul<float>(p, Inputs::integers);
      check_matmul<BFloat16>(p, Inputs::integers);
    }
}

TEST_CASE("mma matmul tf32") { check_shapes<float>(); }
TEST_CASE("mma matmul bf16") {
  check_shapes<BFloat16>();
  for (bool ta : {false, true})
    check_matmul<BFloat16>({2, 9, 5, 7, ta, !ta, Write::accumulate}, Inputs::normal, 0);  // v1: all shapes
  CHECK_THROWS_AS(([] {
                    BFloat16 x[64];
                    call<MatmulForward, BFloat16>(Op::matmul, Pass::forward, 6, 0, x, x, x, MatmulParams{1, 3, 3, 3});
                  }()),
                  ConfigError);
}

TEST_CASE("mma linear tf32: bias and relu, gradients") {
  const LinearParams p{20, 40, 24, Activation::relu}, plain{20, 40, 24};
  const auto x = values<float>(800, 1, Inputs::integers), w = values<float>(960, 2, Inputs::integers),
             bias = values<float>(24, 3, Inputs::integers), dy = values<float>(480, 4, Inputs::integers);
  std::vector<float> y(480), dx(800), dw(960), db(24), none;
  const float* no_residual = nullptr;
  call<LinearForward, float>(Op::linear, Pass::forward, 6, 0, y.data(), x.data(), w.data(), bias.data(), no_residual, p);
  call<LinearDgrad, float>(Op::linear, Pass::dgrad, 6, 0, dx.data(), dy.data(), w.data(), y.data(), plain);
  call<LinearWgrad, float>(Op::linear, Pass::wgrad, 6, 1, dw.data(), db.data(), dy.data(), x.data(), y.data(), plain);
  Context context(1);
  std::vector<float> y1(480), dx1(800), dw1(960), db1(24);
  cpu::linear_forward(context, y1.data(), x.data(), w.data(), bias.data(), nullptr, p);
  cpu::linear_dgrad(context, dx1.data(), dy.data(), w.data(), y.data(), plain);
  cpu::linear_wgrad(context, dw1.data(), db1.data(), dy.data(), x.data(), y.data(), plain);
  CHECK(y == y1);
  CHECK(dx == dx1);
  CHECK(dw == dw1);
  CHECK(db == db1);
}
