#include "tensor/ops/activation.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of activations") {
  for (auto kind : {Activation::relu, Activation::relu6, Activation::gelu, Activation::silu, Activation::tanh, Activation::sigmoid,
                    Activation::gelu_tanh}) {
    INFO(int(kind));
    CHECK(gradcheck([&](auto& x) { return activation(x[0], kind); }, {distinct_input({5, 7}, 1)}) == "");
  }
}
