#include "tensor/ops/dropout.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of dropout: the mask of the forward pass again") {
  const Philox stream{stream_key(3, "dropout"), 5};
  CHECK(gradcheck([&](auto& x) { return dropout(x[0], 0.3, stream); }, {random_input({5, 17}, 1)}) == "");
}

TEST_CASE("dropout: the same mask on every backend, the right share, another one for every step and stream") {
  const int64_t n = 100000;
  const auto mask = [&](Device device, Philox stream, double p) {
    return dropout(Tensor::full({n}, 1, DType::f32, device), p, stream).to_vector<float>();
  };
  const Philox stream{stream_key(3, "dropout"), 5};
  for (double p : {0.0, 0.1, 0.5, 0.9}) {
    const auto cpu = mask({}, stream, p);
    CHECK(cpu == mask({Backend::ref}, stream, p));
    double kept = 0;
    for (float v : cpu) kept += v != 0;
    CHECK(std::abs(kept / n - (1 - p)) <= 5 * std::sqrt(p * (1 - p) / n));
  }
  CHECK(mask({}, stream, 0.5) != mask({}, {stream.key, 6}, 0.5));
  CHECK(mask({}, stream, 0.5) != mask({}, {stream.key + 1, 5}, 0.5));
  CHECK(std::isnan(dropout(Tensor::full({4}, NAN), 0.9, stream).to_vector<float>()[0]));
  CHECK_THROWS_WITH_AS(dropout(Tensor::zeros({2}), 1, stream), "dropout: p: expected in [0, 1), got 1", ConfigError);
}
