#include "tensor/ops/fracdiff.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/fracdiff/fracdiff.h"
#include "kernels/common/registry.h"
#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of fractional differencing") {
  for (double d : {-0.4, 0.0, 0.5, 1.0, 1.7})
    for (FracdiffOptions o : {FracdiffOptions{}, {.floor = 0.02}, {.window = 3}}) {
      INFO(d, " floor ", o.floor, " window ", o.window);
      CHECK(gradcheck([&](auto& x) { return fracdiff(x[0], d, o); }, {random_input({2, 3, 11}, 1)}) == "");
    }
}

TEST_CASE("weights of fractional differencing against the closed form") {
  for (double d : {0.1, 0.3, 0.5, 0.7, 0.9, 1.5, -0.6}) {
    const auto w = fracdiff_weights(d, 150);
    REQUIRE(w.size() == 150);
    for (size_t k = 0; k < w.size(); ++k) {  // Gamma(k - d) / (Gamma(-d) Gamma(k + 1)); beyond 170 tgamma overflows
      const double closed = std::tgamma(double(k) - d) / (std::tgamma(-d) * std::tgamma(double(k) + 1));
      CHECK(std::abs(w[k] - closed) <= 1e-12 * std::max(1.0, std::abs(closed)));
    }
  }
  CHECK(fracdiff_weights(0.5, 6) == std::vector<double>{1, -0.5, -0.125, -0.0625, -0.0390625, -0.02734375});
  CHECK(fracdiff_weights(1, 100) == std::vector<double>{1, -1});
  CHECK(fracdiff_weights(0, 100) == std::vector<double>{1});
  struct Window {
    double d;
    size_t sizes[4];
  };  // down to 1e-3, 1e-4, 5e-5, 1e-5
  for (const Window& row : {Window{.1, {62, 503, 944, 4076}},
                            {.3, {66, 388, 660, 2275}},
                            {.5, {44, 200, 318, 927}},
                            {.7, {26, 97, 145, 372}},
                            {.9, {12, 38, 54, 125}}}) {
    const double floors[] = {1e-3, 1e-4, 5e-5, 1e-5};
    for (int i = 0; i < 4; ++i) CHECK(fracdiff_weights(row.d, 10000, floors[i]).size() == row.sizes[i]);
  }
}

TEST_CASE("fractional differencing: known values, its ends d = 0 and d = 1, errors") {
  const Tensor x = Tensor::from<double>({1, 2, 4, 7, 0}, {5}, Device{Backend::ref});
  CHECK(fracdiff(x, 0.5).to_vector<double>() ==
        std::vector<double>{1, 1.5, 2.875, 4.6875, -4.1640625});  // README of Python's fracdiff
  CHECK(fracdiff(x, 0).to_vector<double>() == x.to_vector<double>());
  CHECK(fracdiff(x, 1).to_vector<double>() == std::vector<double>{1, 1, 2, 3, -7});
  CHECK(fracdiff(x, -1).to_vector<double>() == std::vector<double>{1, 3, 7, 14, 14});
  CHECK(fracdiff(x, 0.5, {.window = 2}).to_vector<double>() == std::vector<double>{1, 1.5, 3, 5, -3.5});
  CHECK_THROWS_WITH_AS(fracdiff(Tensor::zeros({3, 0}), 0.5), "fracdiff: x: expected [.., T] with T > 0, got [3, 0]", ShapeError);
  CHECK_THROWS_WITH_AS(fracdiff(x, std::nan("")), "fracdiff: d: expected a finite order, got nan", ConfigError);
  CHECK_THROWS_AS(fracdiff(x, 0.5, {.window = -1}), ConfigError);
}

TEST_CASE("fractional differencing spreads a NaN over its window and no further, on cpu and emu") {
  constexpr int64_t kLength = 1500, kAt = 700, kWindow = 30;
  for (Backend backend : {Backend::cpu, Backend::emu}) {
    if (backend == Backend::emu && !has_kernel(Op::fracdiff, Pass::forward, backend, DType::f32)) continue;
    const Tensor x = Tensor::full({kLength}, 1).clone();
    x.data<float>()[kAt] = std::nanf("");
    const auto y = fracdiff(x.to(Device{backend}), 0.4, {.window = kWindow}).to_vector<float>();
    for (int64_t t = 0; t < kLength; ++t) CHECK(std::isnan(y[size_t(t)]) == (t >= kAt && t < kAt + kWindow));
  }
}
