// What a convolution hands to the batch norm behind it in bf16, on emu: the statistics of what it has stored, within what
// kernels/matmul/statistics.cuh says of f32 sums, for channels about zero, some deviations and many deviations from it, and
// constant.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "kernels/common/registry.h"
#include "nn/layers/conv_norm.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/conv2d.h"
#include "tensor/ops/norm.h"
#include "tensor/ops/reduce.h"
#include "tests/harness/gradcheck.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::harness;

namespace {

constexpr Device kEmu{Backend::emu};
constexpr double kAdditions = 62, kUnit = 0x1p-24;  // of a value within a tile; half a unit of f32

bool runs() {
  if (has_kernel(Op::conv2d, Pass::forward, Backend::emu, DType::bf16)) return true;
  not_run("this build has no emu kernels for bf16");
  return false;
}

Tensor normal(const Shape& shape, uint64_t key) { return random_input(shape, key).detach().to(DType::f32).to(Device{}); }
Tensor on_emu(const Tensor& t, DType dtype = DType::bf16) { return t.to(dtype).to(kEmu); }

struct Moments {
  double mean = 0, var = 0, absolute = 0, square = 0;  // the last two: means of |x| and x^2
};
std::vector<Moments> moments_of(const Tensor& x) {
  const auto v = x.to_vector<double>();
  const size_t channels = size_t(x.size(-1));
  const double rows = double(v.size() / channels);
  std::vector<Moments> m(channels);
  for (size_t i = 0; i < v.size(); ++i) {
    Moments& of = m[i % channels];
    of.mean += v[i] / rows, of.absolute += std::abs(v[i]) / rows, of.square += v[i] * v[i] / rows;
  }
  for (size_t i = 0; i < v.size(); ++i) m[i % channels].var += std::pow(v[i] - m[i % channels].mean, 2) / rows;
  return m;
}

// Filters and biases of `out` channels of deviation 1, by c % 4: mean 0; 3; 100, all values in [64, 128); nothing but 0.7.
struct Filters {
  Tensor weight, bias;
  Filters(int64_t in, int64_t out, int64_t kernel) : weight(normal({out, kernel, kernel, in}, 2)), bias(Tensor::zeros({out})) {
    const int64_t length = kernel * kernel * in;
    for (int64_t c = 0; c < out; ++c) {
      bias.data<float>()[c] = c % 4 == 0 ? 0.0f : c % 4 == 1 ? 3.0f : c % 4 == 2 ? 100.0f : 0.7f;
      for (int64_t i = 0; i < length; ++i) weight.data<float>()[c * length + i] *= c % 4 == 3 ? 0 : float(1 / std::sqrt(length));
    }
  }
};

}  // namespace

TEST_CASE("statistics of a convolution are those of what it has stored, and batch_norm takes them") {
  if (!runs()) return;
  for (auto [kernel, in, out] : {std::array<int64_t, 3>{1, 8, 72}, {3, 5, 16}}) {
    INFO(kernel, " ", in, " ", out);
    const Filters f(in, out, kernel);
    Tensor statistics;
    const Tensor x = on_emu(normal({3, 11, 10, in}, 1));
    const Tensor y = conv2d(x, on_emu(f.weight), on_emu(f.bias), {.padding = kernel / 2}, {}, &statistics);
    REQUIRE(statistics.defined());
    const std::vector<Moments> exact = moments_of(y);
    const auto s = statistics.to_vector<double>(), v = y.to_vector<double>();
    const Tensor running_mean = on_emu(Tensor::zeros({out}), DType::f32), running_var = on_emu(Tensor::full({out}, 1), DType::f32);
    const auto z = batch_norm(y, {}, {}, running_mean, running_var, true, {}, {}, statistics).to_vector<double>();
    const auto mean = running_mean.to_vector<double>(), var = running_var.to_vector<double>();
    const double rows = double(v.size() / size_t(out));
    for (size_t c = 0; c < size_t(out); ++c) {
      INFO("channel ", c);
      const Moments& m = exact[c];
      // Beside sums that lose nothing, mean and var are rounded to f32.
      const double lost = c % 4 >= 2 ? 0x1p-50 : kAdditions * kUnit;
      const double of_mean = lost * m.absolute + kUnit * std::abs(m.mean), of_var = 3 * lost * m.square + kUnit * m.var;
      CHECK(std::abs(s[c] - m.mean) <= of_mean);
      CHECK(std::abs(s[size_t(out) + c] - m.var) <= of_var);
      CHECK(std::abs(mean[c] - 0.1 * m.mean) <= 0.1 * of_mean + 2 * kUnit * std::abs(m.mean));
      const double unbiased = m.var * rows / (rows - 1);
      CHECK(std::abs(var[c] - (0.9 + 0.1 * unbiased)) <= 0.2 * of_var + 4 * kUnit * (1 + unbiased));
      const double rstd = 1 / std::sqrt(m.var + 1e-5);
      double worst = 0;  // rounding of z to bf16, errors of the statistics, x - mean and its product in f32
      for (size_t i = c; i < v.size(); i += size_t(out)) {
        const double expected = (v[i] - m.mean) * rstd;
        const double bound =
            0x1p-8 * std::abs(expected) + of_mean * rstd + std::abs(expected) * (of_var / (m.var + 1e-5) + 8 * kUnit);
        worst = std::max(worst, std::abs(z[i] - expected) / (bound + 1e-30));
      }
      CHECK(worst <= 1);
      if (c % 4 == 3) CHECK(s[size_t(out) + c] == 0);
    }
  }
}

TEST_CASE("a convolution makes no statistics where they cost exactness or speed") {
  const auto made = [](DType dtype, Device device, int64_t out, const Conv2dOptions& o = {}) {
    const Tensor x = normal({1, 3, 3, 8}, 1).to(dtype).to(device), w = normal({out, 1, 1, 8 / o.groups}, 2).to(dtype).to(device);
    Tensor statistics = x;
    conv2d(x, w, {}, o, {}, &statistics);
    return statistics.defined();
  };
  CHECK_FALSE(made(DType::f32, {}, 8));
  if (!runs()) return;
  CHECK(made(DType::bf16, kEmu, 8));
  CHECK_FALSE(made(DType::bf16, kEmu, 12));
  CHECK_FALSE(made(DType::f32, kEmu, 8));
  CHECK_FALSE(made(DType::bf16, kEmu, 8, {.groups = 8}));  // depthwise_conv2d
  CHECK_FALSE(made(DType::bf16, kEmu, 8, {.activation = Activation::gelu}));
}

TEST_CASE("gradient of batch norm whose statistics are known") {
  const auto train = [](auto& t) {
    const std::vector<Moments> m = moments_of(t[0].detach());
    std::vector<double> s(2 * m.size());
    for (size_t c = 0; c < m.size(); ++c) s[c] = m[c].mean, s[m.size() + c] = m[c].var;
    const Tensor statistics = Tensor::from(std::span<const double>(s), {2, int64_t(m.size())}).to(Device{Backend::ref});
    return batch_norm(t[0], t[1], t[2], {}, {}, true, {}, {}, statistics);
  };
  CHECK(gradcheck(train, {random_input({3, 4, 2, 5}, 1), random_input({5}, 2), random_input({5}, 3)}) == "");
  const Tensor x = Tensor::zeros({4, 3});
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, {}, {}, true, {}, {}, Tensor::zeros({2, 4})),
                       "batch_norm: statistics: expected [2, 3], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, Tensor::zeros({3}), Tensor::zeros({3}), false, {}, {}, Tensor::zeros({2, 3})),
                       "batch_norm: statistics: expected none when not training", ConfigError);
}

TEST_CASE("ConvNorm is a convolution and a batch norm") {
  const Tensor images = normal({2, 6, 5, 8}, 1), added = normal({2, 3, 3, 16}, 3);
  for (bool half : {false, true}) {
    if (half && !runs()) return;
    for (bool frozen : {false, true}) {
      INFO(half, " ", frozen);
      struct Result {
        std::vector<double> y, dx, dweight, dscale, mean, var;
      };
      const auto run = [&](bool together) {
        nn::ConvNorm m("conv", "bn", 8, 16, 3, {.stride = 2, .padding = 1, .bias = true}, Activation::none);
        CHECK(m.named_parameters().size() == 3);  // no bias of the convolution
        m.conv.weight.copy_from(normal({16, 3, 3, 8}, 2));
        m.to(half ? DType::bf16 : DType::f32, half ? kEmu : Device{});
        m.norm.set_frozen(frozen);
        const auto placed = [&](const Tensor& t) { return half ? on_emu(t) : t.clone(); };
        const Tensor x = placed(images).set_requires_grad(true), residual = placed(added);
        const Tensor y = together ? m.forward(x, residual) : m.norm.forward(m.conv.forward(x), residual);
        y.backward(placed(normal(y.shape(), 4)));
        return Result{y.to_vector<double>(),
                      x.grad().to_vector<double>(),
                      m.conv.weight.grad().to_vector<double>(),
                      frozen ? std::vector<double>{} : m.norm.weight.grad().to_vector<double>(),
                      m.norm.running_mean.to_vector<double>(),
                      m.norm.running_var.to_vector<double>()};
      };
      const Result a = run(true), b = run(false);
      // The same bits, but that sums in another order may move what is rounded to bf16 by a unit.
      const auto close = [&](const std::vector<double>& p, const std::vector<double>& q) {
        double scale = 0, worst = 0;
        for (double v : q) scale = std::max(scale, std::abs(v));
        for (size_t i = 0; i < p.size(); ++i) worst = std::max(worst, std::abs(p[i] - q[i]));
        return p.size() == q.size() && worst <= (half && !frozen ? 0x1p-7 * scale : 0);
      };
      CHECK(close(a.y, b.y));
      CHECK(close(a.dx, b.dx));
      CHECK(close(a.dweight, b.dweight));
      CHECK(close(a.dscale, b.dscale));
      CHECK(close(a.mean, b.mean));
      CHECK(close(a.var, b.var));
    }
  }
}
