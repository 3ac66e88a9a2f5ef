#include <doctest/doctest.h>

#include "tensor/ops/axpby.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/norm.h"
#include "tensor/ops/pool2d.h"
#include "tensor/ops/softmax.h"
#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

namespace {

constexpr Device kRef{Backend::ref};

Tensor constant(Shape shape, uint64_t key) { return random_input(shape, key).detach(); }
Tensor variances(int64_t channels) { return Tensor::full({channels}, 1.7, DType::f64, kRef); }

const Pool2dOptions kPools[] = {{2}, {3, 2, 1}, {3, 2, 0, true}, {2, 3}, {5, 1, 2}, {4, 3, 2, true}};

}  // namespace

TEST_CASE("gradient of pooling") {
  for (const auto& o : kPools) {
    INFO(o.kernel, " ", o.stride, " ", o.padding, " ", o.ceil_mode);
    CHECK(gradcheck([&](auto& x) { return max_pool2d(x[0], o); }, {distinct_input({2, 7, 6, 3}, 1)}) == "");
    CHECK(gradcheck([&](auto& x) { return avg_pool2d(x[0], o); }, {random_input({2, 7, 6, 3}, 2)}) == "");
  }
  CHECK(gradcheck([&](auto& x) { return global_avg_pool2d(x[0]); }, {random_input({2, 3, 4, 5}, 3)}) == "");
}

TEST_CASE("gradient of softmax and log-softmax") {
  CHECK(gradcheck([](auto& x) { return softmax(x[0]); }, {random_input({2, 3, 5}, 1)}) == "");
  CHECK(gradcheck([](auto& x) { return log_softmax(x[0]); }, {random_input({4, 7}, 2)}) == "");
}

TEST_CASE("gradient of losses") {
  const Tensor labels = Tensor::from<int64_t>({3, 0, 6}, {3}, kRef);
  for (double smoothing : {0.0, 0.1, 1.0})
    CHECK(gradcheck([&](auto& x) { return cross_entropy(x[0], labels, smoothing); }, {random_input({3, 7}, 1)}) == "");
  CHECK(gradcheck([](auto& x) { return mse(x[0], x[1]); }, {random_input({4, 5}, 2), random_input({4, 5}, 3)}) == "");
}

TEST_CASE("gradient of batch norm") {
  const auto train = [](auto& x) { return batch_norm(x[0], x[1], x[2], {}, {}, true); };
  CHECK(gradcheck(train, {random_input({3, 4, 2, 5}, 1), random_input({5}, 2), random_input({5}, 3)}) == "");
  CHECK(gradcheck(train, {random_input({9, 5}, 4), {}, {}}) == "");
  CHECK(gradcheck(train, {random_input({9, 5}, 4), constant({5}, 2), random_input({5}, 3)}) == "");
  const auto frozen = [](auto& x) { return batch_norm(x[0], x[1], x[2], x[3], x[4], false); };
  CHECK(gradcheck(frozen, {random_input({3, 4, 2, 5}, 1), random_input({5}, 2), random_input({5}, 3), constant({5}, 4),
                           variances(5)}) == "");
  CHECK(gradcheck(frozen, {random_input({3, 5}, 1), constant({5}, 2), constant({5}, 3), constant({5}, 4), variances(5)}) == "");
  CHECK(gradcheck(frozen, {constant({3, 5}, 1), random_input({5}, 2), {}, constant({5}, 4), variances(5)}) == "");
}

TEST_CASE("gradient of batch norm with a residual and an activation") {
  constexpr GradcheckOptions kShortStep{.step = 2e-6};  // relu's kink is crossed only by outputs within 1e-5 of zero
  for (Activation f : {Activation::none, Activation::relu, Activation::silu}) {
    INFO(int(f));
    const BatchNormOptions o{.activation = f};
    const Tensor x = random_input({3, 4, 5}, 1), weight = random_input({5}, 2), bias = random_input({5}, 3),
                 residual = random_input({3, 4, 5}, 6);
    const auto train = [&](auto& t) { return batch_norm(t[0], t[1], t[2], {}, {}, true, o, t[3]); };
    CHECK(gradcheck(train, {x, weight, bias, residual}, kShortStep) == "");
    CHECK(gradcheck(train, {x, weight, bias, {}}, kShortStep) == "");
    CHECK(gradcheck(train, {x, {}, {}, constant({3, 4, 5}, 6)}, kShortStep) == "");
    CHECK(gradcheck(train, {constant({3, 4, 5}, 1), constant({5}, 2), constant({5}, 3), residual}, kShortStep) == "");
    const auto frozen = [&](auto& t) { return batch_norm(t[0], t[1], t[2], t[4], t[5], false, o, t[3]); };
    const Tensor mean = constant({5}, 4), var = variances(5);
    CHECK(gradcheck(frozen, {x, weight, bias, residual, mean, var}, kShortStep) == "");
    CHECK(gradcheck(frozen, {x, constant({5}, 2), constant({5}, 3), residual, mean, var}, kShortStep) == "");
    CHECK(gradcheck(frozen, {constant({3, 4, 5}, 1), {}, {}, residual, mean, var}, kShortStep) == "");
    CHECK(gradcheck(frozen, {constant({3, 4, 5}, 1), weight, {}, {}, mean, var}, kShortStep) == "");
  }
}

TEST_CASE("gradient of group, instance and layer norm") {
  for (int64_t groups : {1, 2, 6})
    CHECK(gradcheck([&](auto& x) { return group_norm(x[0], x[1], x[2], groups); },
                    {random_input({2, 3, 2, 6}, 1), random_input({6}, 2), random_input({6}, 3)}) == "");
  CHECK(gradcheck([](auto& x) { return instance_norm(x[0], {}, x[1]); }, {random_input({2, 9, 4}, 1), random_input({4}, 3)}) == "");
  CHECK(gradcheck([](auto& x) { return layer_norm(x[0], x[1], x[2]); },
                  {random_input({3, 2, 7}, 1), random_input({7}, 2), random_input({7}, 3)}) == "");
  CHECK(gradcheck([](auto& x) { return layer_norm(x[0], {}, {}); }, {random_input({3, 7}, 1)}) == "");
  // Its input has another use, earlier and later on the tape: the gradient of the later one is added by the norm's kernel.
  CHECK(gradcheck(
            [](auto& x) {
              const Tensor sum = scale(x[0], 1.5), before = mul(sum, sum), y = layer_norm(sum, x[1], {});
              return add(add(before, y), mul(sum, y));
            },
            {random_input({3, 7}, 1), random_input({7}, 2)}) == "");
}

TEST_CASE("gradient of lrn") {
  for (int64_t size : {1, 3, 4, 9})
    CHECK(gradcheck([&](auto& x) { return lrn(x[0], size, 0.8, 0.75, 1.5); }, {random_input({3, 6}, 1)}) == "");
}
