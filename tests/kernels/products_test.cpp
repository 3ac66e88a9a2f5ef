// Every version of linear, conv2d and depthwise_conv2d on emu, f32 and bf16, in random schedules, on small integers: products and
// sums are exact in every type, so the result is the oracle's to the last bit. Shapes cross the edges of every tile.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "kernels/common/versions.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/linear.h"
#include "kernels/runtime/emu/emu.h"

using namespace graft;

namespace {

template <class T>
struct Values {
  std::vector<T> v;
  emu::Visible visible;
  Values(int64_t n, uint64_t key) : v(size_t(n)), visible(v.data(), v.size() * sizeof(T)) {
    const Philox random{key, 0};
    for (size_t i = 0; i < v.size(); ++i) v[i] = T(float(int(random.below(i, 9)) - 4));
  }
  T* get() { return v.empty() ? nullptr : v.data(); }
};

template <template <class> class Signature, class T, class... A>
void call(Context& context, Op op, Pass pass, Backend backend, A... args) {
  reinterpret_cast<Signature<T>*>(find_kernel(op, pass, backend, dtype_of<T>, typeid(Signature<T>)))(context, args...);
}

struct Sizes {
  int64_t x, weight, y, bias;
};

template <class T, template <class> class Forward, template <class> class Dgrad, template <class> class Wgrad, class Params>
std::vector<std::vector<float>> results(Context& context, Op op, Pass pass, Backend backend, const Sizes& s, const Params& p) {
  Values<T> x(s.x, 1), weight(s.weight, 2), y(s.y, 3), dy(s.y, 4), bias(s.bias, 5);
  Values<float> statistics(2 * s.bias, 6);
  Values<T> more_x(s.x, 7), more_y(s.y, 8);  // of a second call
  T* const none = nullptr;
  if (pass == Pass::forward) {
    if constexpr (std::is_same_v<Forward<T>, Conv2dForward<T>>) {  // with a residual, and with statistics
      float* const no_statistics = nullptr;
      call<Forward, T>(context, op, pass, backend, more_y.get(), no_statistics, x.get(), weight.get(), bias.get(), dy.get(), p);
      call<Forward, T>(context, op, pass, backend, y.get(), statistics.get(), x.get(), weight.get(), bias.get(), none, p);
    } else if constexpr (std::is_same_v<Forward<T>, LinearForward<T>>) {
      call<Forward, T>(context, op, pass, backend, y.get(), x.get(), weight.get(), bias.get(), dy.get(), p);
    } else {
      call<Forward, T>(context, op, pass, backend, y.get(), x.get(), weight.get(), bias.get(), p);
    }
  }
  if (pass == Pass::dgrad) {
    if constexpr (std::is_same_v<Dgrad<T>, Conv2dDgrad<T>>) {  // without another gradient of x, and with it
      Values<T> others(s.x, 9);
      call<Dgrad, T>(context, op, pass, backend, more_x.get(), dy.get(), weight.get(), y.get(), none, p);
      call<Dgrad, T>(context, op, pass, backend, x.get(), dy.get(), weight.get(), y.get(), others.get(), p);
    } else {
      call<Dgrad, T>(context, op, pass, backend, x.get(), dy.get(), weight.get(), y.get(), p);
    }
  }
  if (pass == Pass::wgrad) call<Wgrad, T>(context, op, pass, backend, weight.get(), bias.get(), dy.get(), x.get(), y.get(), p);
  std::vector<std::vector<float>> all;
  for (const Values<T>* v : {&y, &more_y, &x, &more_x, &weight, &bias}) {
    all.emplace_back();
    for (const T& value : v->v) all.back().push_back(float(value));
  }
  all.push_back(statistics.v);
  return all;
}

// Mean and variance of the columns of y.
std::vector<double> statistics_of(const std::vector<float>& y, size_t columns) {
  std::vector<double> s(2 * columns);
  const double rows = double(y.size() / columns);
  for (size_t i = 0; i < y.size(); ++i) s[i % columns] += y[i] / rows;
  for (size_t i = 0; i < y.size(); ++i) s[columns + i % columns] += (y[i] - s[i % columns]) * (y[i] - s[i % columns]) / rows;
  return s;
}
// Of integers whose sums are exact: what is left is the rounding of the results.
void check_statistics(const std::vector<float>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double of_sums = i < actual.size() / 2 ? 0 : expected[i - actual.size() / 2] * expected[i - actual.size() / 2];
    worst = std::max(worst, std::abs(actual[i] - expected[i]) / (0x1p-24 * std::abs(expected[i]) + 0x1p-48 * (1 + of_sums)));
  }
  CHECK(worst <= 1);
}

// How many versions ran, of all passes, from version `first` on; in so many schedules.
template <class T, template <class> class Forward, template <class> class Dgrad, template <class> class Wgrad, class Params>
int check_in(Op op, std::span<const Pass> passes, int first, const std::string& shape, const Sizes& s, const Params& p,
             uint64_t schedules = 1) {
  int ran = 0;
  for (Pass pass : passes) {
    Context context(1);
    auto expected = results<float, Forward, Dgrad, Wgrad>(context, op, pass, Backend::ref, s, p);
    expected.pop_back();
    for (auto& values : expected)
      for (float& v : values) v = float(T(v));
    for (const Version& version : versions(op, pass, Backend::emu, dtype_of<T>)) {
      if (version.number < first) continue;
      INFO(name(op), " ", name(pass), " ", shape, " ", name(dtype_of<T>), " version ", version.number);
      context.set_version(op, version.number);
      try {
        for (emu::options().seed = 1; emu::options().seed <= schedules; ++emu::options().seed) {
          auto actual = results<T, Forward, Dgrad, Wgrad>(context, op, pass, Backend::emu, s, p);
          if (std::is_same_v<Forward<T>, Conv2dForward<T>> && pass == Pass::forward)
            check_statistics(actual.back(), statistics_of(expected[0], size_t(s.bias)));
          actual.pop_back();
          CHECK(actual == expected);
        }
        ++ran;
      } catch (const ConfigError& e) {
        CHECK_MESSAGE(version.number > 1, std::string(e.what()));  // does not accept the shape
      } catch (const Error& e) {
        FAIL_CHECK(std::string(e.what()));
      }
      emu::options().seed = 0;
    }
  }
  return ran;
}

void check_linear(const LinearParams& p, int f32, int bf16) {
  const Sizes s{p.rows * p.in, p.out * p.in, p.rows * p.out, p.out};
  const std::string shape = fmt::format("rows={} in={} out={}", p.rows, p.in, p.out);
  CHECK(check_in<float, LinearForward, LinearDgrad, LinearWgrad>(Op::linear, passes(Op::linear), 1, shape, s, p) >= f32);
  CHECK(check_in<BFloat16, LinearForward, LinearDgrad, LinearWgrad>(Op::linear, passes(Op::linear), 1, shape, s, p) >= bf16);
}

// f32, bf16: at least how many versions accept the shape, of all passes together. Returns how many do in bf16.
int check_conv(Op op, std::span<const Pass> passes, const Conv2dParams& p, int f32, int bf16, int first = 1,
               uint64_t schedules = 1) {
  const int64_t weight = p.c_out * p.kh * p.kw * (p.c_in / p.groups), pixels = p.n * p.out_h() * p.out_w();
  const Sizes s{p.n * p.h * p.w * p.c_in, weight, pixels * p.c_out, p.c_out};
  const std::string shape = fmt::format("n={} {}x{}x{} out={} kernel={}x{} stride={} padding={} dilation={} groups={}", p.n, p.h,
                                        p.w, p.c_in, p.c_out, p.kh, p.kw, p.stride, p.padding, p.dilation, p.groups);
  int ran;
  if (op == Op::conv2d) {
    CHECK(check_in<float, Conv2dForward, Conv2dDgrad, Conv2dWgrad>(op, passes, first, shape, s, p) >= f32);
    ran = check_in<BFloat16, Conv2dForward, Conv2dDgrad, Conv2dWgrad>(op, passes, first, shape, s, p, schedules);
  } else {
    CHECK(check_in<float, DepthwiseConv2dForward, DepthwiseConv2dDgrad, Conv2dWgrad>(op, passes, first, shape, s, p) >= f32);
    ran = check_in<BFloat16, DepthwiseConv2dForward, DepthwiseConv2dDgrad, Conv2dWgrad>(op, passes, first, shape, s, p);
  }
  CHECK(ran >= bf16);
  return ran;
}

constexpr Activation kRelu = Activation::relu;

}  // namespace

TEST_CASE("products linear") {
  check_linear({3, 5, 7, kRelu}, 3, 3);      // no version but the first
  check_linear({1, 8, 8}, 9, 6);             // one row
  check_linear({67, 40, 72, kRelu}, 9, 6);   // edges of tiles
  check_linear({600, 8, 72}, 9, 6);          // more than a band of tiles
  check_linear({1100, 16, 8, kRelu}, 9, 6);  // parts of k
}

// {n, h, w, c_in, c_out, kh, kw, stride, padding, dilation, groups}
TEST_CASE("products conv2d") {
  const auto check = [](const Conv2dParams& p, int f32, int bf16) { check_conv(Op::conv2d, passes(Op::conv2d), p, f32, bf16); };
  check({1, 1, 1, 8, 8, 1, 1}, 9, 6);                        // one pixel
  check({1, 1, 1, 8, 8, 3, 3, 1, 1}, 9, 9);                  // that one tap of nine meets
  check({2, 7, 5, 16, 24, 3, 3, 1, 1, 1, 1, kRelu}, 9, 9);   //
  check({1, 9, 8, 16, 8, 3, 2, 2, 1}, 9, 9);                 // stride
  check({1, 9, 7, 16, 32, 3, 3, 2, 1, 1, 2, kRelu}, 9, 6);   // and groups
  check({1, 11, 13, 8, 8, 3, 3, 3, 2, 2}, 9, 9);             // stride and dilation without a common factor
  check({1, 12, 11, 8, 16, 3, 3, 2, 2, 2}, 9, 9);            // with one: pixels that no tap meets
  check({1, 5, 6, 8, 16, 3, 3, 1, 5}, 9, 9);                 // padding larger than the kernel
  check({2, 7, 7, 8, 8, 7, 7}, 9, 9);                        // kernel as large as the image
  check({1, 4, 3, 8, 8, 2, 2, 5, 1}, 9, 9);                  // stride larger than kernel and image
  check({2, 6, 5, 16, 24, 1, 1}, 9, 6);                      // a product of matrices
  check({1, 6, 5, 16, 8, 1, 1, 2}, 9, 9);                    // no longer one
  check({1, 12, 12, 3, 16, 7, 7, 2, 3}, 7, 5);               // a stem
  check({1, 6, 6, 12, 20, 3, 3, 1, 1}, 9, 4);                // units of four, not of eight
  check({1, 5, 5, 5, 7, 3, 3, 1, 1}, 5, 4);                  // primes
  check({1, 3, 3, 6, 4, 3, 3, 1, 1, 1, 2}, 3, 3);            // groups of three
  check({1, 18, 20, 8, 72, 1, 1, 1, 0, 1, 1, kRelu}, 9, 7);  // several tiles
  check({2, 24, 23, 8, 8, 3, 3, 1, 1}, 9, 9);                // parts of k in wgrad
  check({70, 15, 1, 8, 8, 1, 1, 2}, 9, 9);                   // more lines that no tap meets than a block has threads
}

// What Hopper's versions cut into boxes of 64 channels and 64 or 128 pixels.
TEST_CASE("products conv2d hopper") {
  const auto check = [](const Conv2dParams& p, int bf16) {
    CHECK(check_conv(Op::conv2d, passes(Op::conv2d), p, 0, bf16, 7, 3) == bf16);
  };
  check({1, 5, 6, 64, 64, 3, 3, 1, 1, 1, 1, kRelu}, 8);   //
  check({9, 5, 4, 64, 64, 3, 3, 1, 1}, 9);                // images that begin within tiles
  check({2, 9, 11, 64, 136, 3, 3, 2, 1}, 5);              // stride, edges of tiles
  check({1, 6, 7, 64, 64, 2, 2, 3, 1}, 5);                // pixels that no tap meets
  check({3, 7, 5, 40, 72, 2, 3, 1, 1, 1, 1, kRelu}, 6);   // channels that are filled up
  check({1, 13, 11, 72, 80, 3, 3, 2, 2, 2}, 5);           // two tiles of channels a tap; dilation
  check({1, 7, 6, 128, 128, 3, 2, 1, 2, 2, 2}, 5);        // groups
  check({1, 7, 6, 128, 48, 3, 3, 1, 1, 1, 2, kRelu}, 3);  // not dgrad: a group has less channels than a box
  check({1, 4, 5, 64, 8, 3, 3, 1, 5}, 9);                 // padding larger than the kernel
  check({1, 5, 5, 64, 64, 5, 5}, 5);                      // kernel as large as the image
  check({1, 8, 9, 64, 72, 1, 1, 1, 1}, 5);                // a product of matrices, but for the padding
  check({3, 8, 9, 72, 64, 1, 1, 1, 0, 1, 1, kRelu}, 5);   // and without
  check({3, 8, 9, 68, 72, 1, 1}, 5);                      // lines that TMA does not take
  check({1, 5, 4, 64, 12, 3, 3, 1, 1}, 0);                // statistics of whole vectors only
  check({1, 20, 20, 64, 64, 3, 3, 9, 1}, 0);              // steps beyond what a map can say
  check({1, 121, 1, 64, 64, 2, 1, 2, 0, 119}, 0);         // and taps
}

// Statistics of tiles that the blocks of version 8 take in turns.
TEST_CASE("products conv2d persistent statistics") {
  const Pass forward = Pass::forward;
  for (const auto& p : {Conv2dParams{1, 26, 20, 8, 4416, 1, 1}, {1, 19, 20, 16, 8072, 1, 1, 1, 0, 1, 1, kRelu}})
    CHECK(check_conv(Op::conv2d, {&forward, 1}, p, 0, 1, 8, 2) == 1);
}

// Patches in tiles of 128 columns that blocks take in turns; rows of dx apart from each other.
TEST_CASE("products conv2d persistent patches") {
  for (const auto& p : {Conv2dParams{2, 33, 39, 64, 72, 3, 3, 2, 1},
                        {5, 15, 17, 72, 136, 1, 1, 2, 0, 1, 1, kRelu},
                        {1, 27, 43, 64, 200, 2, 3, 1, 1, 2},
                        {3, 13, 14, 128, 256, 3, 1, 1, 0, 1, 2},
                        {2, 29, 28, 264, 64, 2, 3, 2, 1}})
    CHECK(check_conv(Op::conv2d, passes(Op::conv2d), p, 0, 3, 8, 2) >= 3);
}

// As many columns as tiles of 192 and 256 take fewer rounds for.
TEST_CASE("products conv2d persistent patches, wide tiles") {
  const auto check = [](Pass pass, const Conv2dParams& p) { check_conv(Op::conv2d, {&pass, 1}, p, 0, 1, 8); };
  for (int64_t wide : {12600, 13000}) {
    check(Pass::forward, {1, 15, 7, 8, wide, 1, 1, 1, 1});
    check(Pass::dgrad, {1, 15, 7, wide, 8, 1, 1, 1, 1});
    check(Pass::wgrad, {1, 4, 5, wide / 9 / 8 * 8, 136, 3, 3, 1, 1});
  }
}

// Tiles with their halo: of several rows, columns and images, more than blocks in turn; one block of 64 filters, and pairs.
TEST_CASE("products conv2d halo") {
  const auto check = [](const Conv2dParams& p, int bf16, uint64_t schedules = 2) {
    CHECK(check_conv(Op::conv2d, passes(Op::conv2d), p, 0, bf16, 9, schedules) == bf16);
  };
  check({2, 11, 30, 64, 64, 3, 3, 1, 1, 1, 1, kRelu}, 3);    // tiles of seven rows
  check({1, 5, 56, 64, 136, 3, 3, 1, 1, 1, 1, kRelu}, 2);    // two pairs of filters, a tile and one that is none
  check({3, 5, 7, 136, 72, 3, 3, 1, 1}, 3);                  // chunks of channels, the last of eight
  check({1, 5, 300, 8, 16, 3, 3, 1, 1, 1, 1, kRelu}, 2);     // tiles of columns
  check({1, 13, 9, 24, 72, 3, 3, 1, 3, 2}, 2);               // dilation, more padding than reaches
  check({2, 9, 8, 80, 40, 5, 2, 1, 1}, 1);                   // other kernels
  check({67, 1, 221, 8, 8, 1, 2}, 2, 1);                     // tiles of 224 positions
  check({67, 1, 231, 8, 72, 1, 2}, 1, 1);                    // of 240, in pairs
  check({1, 1, 270, 8, 16, 1, 3, 1, 0, 17}, 2);              // lines longer than a box
  check({280, 3, 3, 8, 8, 1, 2}, 2, 1);                      // more tiles than two for each block
  check({140, 2, 2, 8, 72, 2, 1, 1, 0, 1, 1, kRelu}, 1, 1);  // than one for each pair
  check({70, 2, 1, 8, 72, 3, 3, 1, 1}, 2, 1);                // than one for each block of wgrad
}

// As many products as fill a GPU with tiles of 128 x 128.
TEST_CASE("products conv2d space to depth") {
  const std::vector<Pass> both{Pass::forward, Pass::wgrad};
  const auto check = [&](const Conv2dParams& p, int bf16) { CHECK(check_conv(Op::conv2d, both, p, 0, bf16, 10, 3) == bf16); };
  check({3, 22, 18, 3, 64, 7, 7, 2, 3, 1, 1, kRelu}, 2);  // a stem; images that begin within tiles
  check({2, 13, 11, 3, 32, 3, 3, 2, 1}, 2);               // rows of two squares, less than a tile of k
  check({1, 12, 13, 4, 72, 4, 8, 2, 2}, 2);               // no tap and no channel is filled up
  check({1, 9, 9, 1, 16, 5, 2, 2, 0}, 2);                 // nothing lies outside
  check({1, 9, 7, 2, 12, 3, 3, 2, 4}, 0);                 // statistics and dy of whole vectors only
  check({1, 12, 12, 3, 16, 3, 9, 2, 1}, 0);               // more than a tile of k in a row
  check({1, 12, 12, 3, 16, 3, 3, 1, 1}, 0);               // stride 1
}

TEST_CASE("products conv2d large tiles") {
  const auto check = [](Pass pass, const Conv2dParams& p) { check_conv(Op::conv2d, {&pass, 1}, p, 2, 1, 5); };
  check(Pass::forward, {1, 9, 8, 132 * 8, 132 * 72, 1, 1, 1, 0, 1, 132});
  check(Pass::dgrad, {1, 9, 8, 132 * 72, 132 * 8, 1, 1, 1, 0, 1, 132});
  check(Pass::wgrad, {1, 1, 2, 132 * 72, 132 * 72, 1, 1, 1, 0, 1, 132});
}

// {n, h, w, c, c, kh, kw, stride, padding, dilation, groups = c}
TEST_CASE("products depthwise_conv2d") {
  const auto check = [](Conv2dParams p, int f32, int bf16) {
    p.groups = p.c_out = p.c_in;
    check_conv(Op::depthwise_conv2d, passes(Op::depthwise_conv2d), p, f32, bf16);
  };
  check({1, 1, 1, 8, 0, 3, 3, 1, 1}, 6, 6);                 // one pixel
  check({2, 6, 5, 16, 0, 3, 3, 1, 1, 1, 1, kRelu}, 6, 6);   // a ragged strip
  check({2, 9, 11, 24, 0, 3, 3, 2, 1}, 6, 6);               // strips of dgrad that start before the image
  check({1, 10, 12, 8, 0, 3, 3, 2, 0, 1, 1, kRelu}, 6, 6);  // and ones that do not
  check({1, 9, 10, 8, 0, 5, 5, 1, 2}, 6, 6);                //
  check({1, 9, 10, 8, 0, 5, 5, 2, 2}, 6, 6);                //
  check({1, 11, 9, 8, 0, 7, 7, 1, 3}, 6, 6);                //
  check({1, 11, 13, 8, 0, 7, 7, 2, 3}, 6, 6);               //
  check({1, 6, 6, 8, 0, 2, 3, 2, 1}, 6, 6);                 // not square
  check({1, 4, 4, 16, 0, 3, 3, 1, 6}, 6, 6);                // padding larger than the kernel
  check({2, 5, 5, 8, 0, 5, 5}, 6, 6);                       // kernel as large as the image
  check({1, 5, 6, 12, 0, 3, 3, 1, 1}, 6, 3);                // units of four, not of eight
  check({1, 7, 9, 16, 0, 3, 3, 1, 2, 2}, 3, 3);             // dilation
  check({40, 3, 5, 72, 0, 3, 3, 1, 1}, 6, 6);               // more channels and rows than a block has
  check({1, 8, 8, 8, 0, 3, 3, 2, 1}, 6, 6);                 // a strip of dgrad that only the padding begins
}
