// Versions 7, 8 and 9 of matmul and linear on emu, in order and in a random schedule.
#include <algorithm>
#include <span>

#include "tests/kernels/matmul_check.h"

using namespace graft;

namespace {

template <class T = BFloat16>
void check_transposed(int version, const MatmulParams& p, Inputs inputs) {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      MatmulParams q = p;
      q.transpose_a = ta, q.transpose_b = tb;
      check_matmul<T>(q, inputs, version);
    }
}

// Against version 1 on integers: all exact, also in bf16, whose 8 bits hold sums below 256.
std::vector<BFloat16> small_values(int64_t n, uint64_t key) {
  std::vector<BFloat16> v;
  for (int64_t i = 0; i < n; ++i) v.emplace_back(float(int(Philox{key, 0}.below(uint64_t(i), 3)) - 1));
  return v;
}
int different(const std::vector<BFloat16>& a, const std::vector<BFloat16>& b) {
  int n = 0;
  for (size_t i = 0; i < a.size(); ++i) n += a[i].bits != b[i].bits;
  return n;
}

enum class Residual { absent, present };
void check_linear_forward(int version, const LinearParams& p, Residual with = Residual::present) {
  INFO("rows=", p.rows, " in=", p.in, " out=", p.out, " version ", version);
  const auto x = small_values(p.rows * p.in, 1), w = small_values(p.out * p.in, 2), bias = small_values(p.out, 3),
             residual = small_values(p.rows * p.out, 4);
  std::vector<BFloat16> y[2];
  for (int v : {1, version}) {
    auto& out = y[v != 1];
    out.resize(size_t(p.rows * p.out));
    call<LinearForward, BFloat16>(Op::linear, Pass::forward, v, 1, out.data(), x.data(), w.data(), bias.data(),
                                  with == Residual::present ? residual.data() : nullptr, p);
  }
  CHECK(different(y[0], y[1]) == 0);
}

void check_linear(int version, const LinearParams& p) {
  check_linear_forward(version, p, Residual::absent);
  const auto x = small_values(p.rows * p.in, 1), w = small_values(p.out * p.in, 2), dy = small_values(p.rows * p.out, 4);
  LinearParams plain = p;
  plain.activation = Activation::none;
  std::vector<BFloat16> dx[2], dw[2], db[2];
  for (int v : {1, version}) {
    auto &to_x = dx[v != 1], &to_w = dw[v != 1], &to_b = db[v != 1];
    to_x.resize(x.size()), to_w.resize(w.size()), to_b.resize(size_t(p.out));
    BFloat16* const nothing = nullptr;
    call<LinearDgrad, BFloat16>(Op::linear, Pass::dgrad, v, 2, to_x.data(), dy.data(), w.data(), nothing, plain);
    call<LinearWgrad, BFloat16>(Op::linear, Pass::wgrad, v, 3, to_w.data(), to_b.data(), dy.data(), x.data(), nothing, plain);
  }
  CHECK(different(dx[0], dx[1]) == 0);
  CHECK(different(dw[0], dw[1]) == 0);
  CHECK(different(db[0], db[1]) == 0);
}

}  // namespace

TEST_CASE("wgmma matmul: all transposes, ragged, batched, accumulated, more tiles of k than slots") {
  check_transposed(7, {2, 72, 136, 104}, Inputs::integers);
  check_transposed(7, {1, 136, 64, 328, false, false, Write::accumulate}, Inputs::normal);
  check_matmul<BFloat16>({1, 65, 67, 24, false, true}, Inputs::integers, 7);
  check_matmul<BFloat16>({1, 64, 64, 2064, true, false}, Inputs::normal, 7);  // parts of k
}
TEST_CASE("persistent matmul: all transposes, ragged, batched, accumulated, more tiles than blocks in turn") {
  check_transposed(8, {2, 136, 264, 72}, Inputs::integers);
  check_matmul<BFloat16>({1, 300, 72, 328, false, true, Write::accumulate}, Inputs::normal, 8);
  check_matmul<BFloat16>({1, 300, 72, 328, false, false}, Inputs::normal, 8);
  check_matmul<BFloat16>({67, 136, 64, 8, false, true}, Inputs::integers, 8);  // 66 pairs of blocks
}
TEST_CASE("persistent matmul: tiles of 192 and of 256 columns, where they are fewer rounds") {
  for (int64_t n : {12600, 13000})
    for (bool tb : {false, true}) check_matmul<BFloat16>({1, 136, n, 16, false, tb}, Inputs::integers, 8);
}
TEST_CASE("wgmma and persistent matmul copy lines that are not aligned") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      check_matmul<BFloat16>({2, 133, 72, 67, ta, tb}, Inputs::integers, 8);
      check_matmul<BFloat16>({2, 67, 71, 75, ta, tb}, Inputs::integers, 7);
    }
}
TEST_CASE("wgmma and persistent linear: bias and relu, gradients") {
  check_linear(7, {136, 72, 80, Activation::relu});
  check_linear(8, {136, 136, 136, Activation::relu});
  check_linear(8, {520, 200, 300});  // more tiles of k than slots, two pairs of blocks
}
TEST_CASE("persistent linear: the bias gradient beside wide tiles") {
  const LinearParams p{16, 12600, 136};
  const auto x = small_values(p.rows * p.in, 1), dy = small_values(p.rows * p.out, 4);
  std::vector<BFloat16> dw[2], db[2];
  for (int v : {1, 8}) {
    auto &to_w = dw[v != 1], &to_b = db[v != 1];
    to_w.resize(size_t(p.out * p.in)), to_b.resize(size_t(p.out));
    BFloat16* const nothing = nullptr;
    call<LinearWgrad, BFloat16>(Op::linear, Pass::wgrad, v, 3, to_w.data(), to_b.data(), dy.data(), x.data(), nothing, p);
  }
  CHECK(different(dw[0], dw[1]) == 0);
  CHECK(different(db[0], db[1]) == 0);
}
TEST_CASE("wgmma and persistent linear: residual") {
  check_linear_forward(7, {136, 72, 80, Activation::relu});
  check_linear_forward(8, {136, 72, 136});
  check_linear_forward(8, {300, 328, 200});                   // ragged, more tiles of k than slots
  check_linear_forward(8, {136, 16, 12800});                  // of 192 columns; one pair of blocks takes two
  check_linear_forward(8, {8500, 16, 264});                   // the same of 128
  check_linear_forward(8, {300, 72, 136, Activation::relu});  // what TMA does not bring
  check_linear_forward(8, {300, 72, 140});
  check_linear_forward(8, {300, 72, 141});
}
TEST_CASE("wgmma matmul tf32, along k") {
  check_matmul<float>({2, 72, 136, 104, false, true}, Inputs::integers, 7);
  check_matmul<float>({1, 65, 67, 132, false, true, Write::accumulate}, Inputs::normal, 7);
  CHECK_THROWS_AS(
      ([] {
        std::vector<float> x(64 * 64);
        call<MatmulForward, float>(Op::matmul, Pass::forward, 7, 0, x.data(), x.data(), x.data(), MatmulParams{1, 64, 64, 64});
      }()),
      ConfigError);
}
TEST_CASE("simt tma matmul: all transposes, ragged, batched, accumulated, more tiles of k than slots") {
  check_transposed<float>(9, {2, 72, 136, 104}, Inputs::integers);
  check_transposed<float>(9, {1, 132, 68, 228, false, false, Write::accumulate}, Inputs::normal);
  check_matmul<float>({1, 67, 65, 4, false, true}, Inputs::integers, 9);
  check_matmul<float>({1, 64, 64, 2064, true, false}, Inputs::normal, 9);  // parts of k
}
TEST_CASE("simt tma matmul: tiles in shares have the bits of whole ones") {
  constexpr int64_t kM = 2200, kN = 2060, kK = 84, kSome = 136;  // 306 tiles in 264 places; 136 rows: 34 tiles, none shared
  const auto a = values<float>(kM * kK, 1, Inputs::normal), b = values<float>(kN * kK, 2, Inputs::normal);
  const auto product = [&](int64_t first, int64_t rows, uint64_t seed) {
    std::vector<float> c(size_t(rows * kN), NAN);
    call<MatmulForward, float>(Op::matmul, Pass::forward, 9, seed, c.data(), a.data() + first * kK, b.data(),
                               MatmulParams{1, rows, kN, kK, false, true});
    return c;
  };
  const auto all = product(0, kM, 1);
  for (int64_t first : {int64_t{0}, 8 * kSome, kM - kSome})
    CHECK(std::ranges::equal(product(first, kSome, 0), std::span(all).subspan(size_t(first * kN), size_t(kSome * kN))));
}
