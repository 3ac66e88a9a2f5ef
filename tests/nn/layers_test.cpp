#include <doctest/doctest.h>

#include "nn/layers/activation.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/embedding.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/shape.h"
#include "nn_test.h"
#include "tensor/ops/binary.h"

using namespace graft;
using namespace graft::nn;

TEST_CASE("each layer makes the shape that output_shape says") {
  const Tensor image = random_images(2, {9, 7, 8});
  const auto agrees = [](Module& m, const Tensor& x) {
    initialize(m, Init::he_normal, 1);
    CHECK(m.forward(x).shape() == m.output_shape(x.shape()));
  };
  for (int64_t stride : {1, 2, 3, 5})
    for (int64_t padding : {0, 1})
      for (bool ceil : {false, true}) {
        const Pool2dOptions pool{.kernel = 3, .stride = stride, .padding = padding, .ceil_mode = ceil};
        MaxPool2d max(pool);
        AvgPool2d avg(pool);
        Conv2d conv(8, 4, 3, {.stride = stride, .padding = padding, .dilation = 2, .groups = 4});
        agrees(max, image), agrees(avg, image), agrees(conv, image);
      }
  GlobalAvgPool2d pool;
  Flatten flat;
  PadChannels pad(1, 3);
  Linear flattening(9 * 7 * 8, 5, {.image = {9, 7, 8}}), linear(8, 5);
  BatchNorm2d bn(8);
  GroupNorm gn(2, 8);
  InstanceNorm2d in(8);
  LayerNorm ln(8);
  Lrn lrn;
  GELU gelu;
  Identity identity;
  for (Module* m : std::vector<Module*>{&pool, &flat, &pad, &flattening, &linear, &bn, &gn, &in, &ln, &lrn, &gelu, &identity})
    agrees(*m, image);
  Embedding table(10, 4);
  agrees(table, Tensor::from<int64_t>({1, 9, 0, 3, 3, 2}, {2, 3}));

  CHECK_THROWS_WITH_AS(flattening.output_shape({1, 8, 8, 8}), doctest::Contains("images of [9, 7, 8], got [1, 8, 8, 8]"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(linear.output_shape({1, 9}), doctest::Contains("expected [.., 8], got [1, 9]"), ShapeError);
  CHECK_THROWS_WITH_AS(Conv2d(3, 4, 3, {.groups = 2}), doctest::Contains("groups: expected a divisor of 3 and 4, got 2"),
                       ShapeError);
}

TEST_CASE("PadChannels puts zeros on both sides and passes the gradient of the middle") {
  PadChannels pad(1, 2);
  const Tensor x = Tensor::from({1.f, 2.f}, {1, 1, 1, 2}).set_requires_grad(true);
  const Tensor y = pad.forward(x);
  CHECK(y.to_vector<float>() == std::vector<float>{0, 1, 2, 0, 0});
  y.backward(Tensor::from({1.f, 2.f, 3.f, 4.f, 5.f}, {1, 1, 1, 5}));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{2, 3});
}

TEST_CASE("a fused activation is the activation") {
  const Tensor x = random_images(2, {5, 5, 3});
  for (Activation kind : {Activation::relu, Activation::gelu}) {
    Conv2d fused(3, 4, 3, {.padding = 1, .activation = kind}), plain(3, 4, 3, {.padding = 1});
    initialize(fused, Init::he_normal, 2);
    initialize(plain, Init::he_normal, 2);
    CHECK(same_bits(fused.forward(x), activation(plain.forward(x), kind)));
  }
}

TEST_CASE("a batch norm with activation and residual is norm, sum and activation, frozen or not, in training or evaluation") {
  const Tensor x = random_images(2, {5, 5, 6}), shortcut = random_images(2, {5, 5, 6}, 8);
  for (Activation kind : {Activation::none, Activation::relu, Activation::gelu})
    for (bool frozen : {false, true})
      for (bool training : {false, true}) {
        BatchNorm2d fused(6, {.activation = kind}), plain(6);
        for (BatchNorm2d* bn : {&fused, &plain}) {
          bn->forward(x);  // statistics that are not 0 and 1
          bn->set_frozen(frozen);
          bn->train(training);
        }
        CHECK(same_bits(fused.forward(x), activation(plain.forward(x), kind)));
        CHECK(same_bits(fused.forward(x, shortcut), activation(add(plain.forward(x), shortcut), kind)));
        CHECK(same_bits(fused.running_mean, plain.running_mean));
        CHECK(same_bits(fused.running_var, plain.running_var));
      }
}
