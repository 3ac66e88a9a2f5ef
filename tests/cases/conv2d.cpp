#include "kernels/conv2d/conv2d.h"

#include <fmt/core.h>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_conv2d(Op op, Tier tier, const Conv2dParams& p, Bias bias) {
  const int64_t nx = p.n * p.h * p.w * p.c_in, k = p.kh * p.kw * p.c_in / p.groups, nw = p.c_out * k;
  const int64_t pixels = p.n * p.out_h() * p.out_w(), ny = pixels * p.c_out;
  const bool relu = p.activation == Activation::relu, with_bias = bias == Bias::present;
  const auto name =
      fmt::format("n={} {}x{}x{} out={} kernel={}x{} stride={} padding={} dilation={} groups={}{}{}", p.n, p.h, p.w, p.c_in,
                  p.c_out, p.kh, p.kw, p.stride, p.padding, p.dilation, p.groups, with_bias ? "" : " no-bias", relu ? " relu" : "");
  const auto cost = [&](int64_t reduction) {
    return Cost{.reduction = double(reduction), .flops = 2.0 * double(ny) * double(k), .bytes = 4.0 * double(nx + nw + ny)};
  };
  const Arg y = relu ? in(ny) : absent(), b = with_bias ? in(p.c_out) : absent();
  if (op == Op::conv2d)
    add<Conv2dForward>(op, Pass::forward, name, tier, {out(ny), absent(), in(nx), in(nw), b, absent()}, cost(k), p);
  else add<DepthwiseConv2dForward>(op, Pass::forward, name, tier, {out(ny), in(nx), in(nw), b}, cost(k), p);
  const Cost dgrad = cost(p.kh * p.kw * p.c_out / p.groups);
  if (op == Op::conv2d) add<Conv2dDgrad>(op, Pass::dgrad, name, tier, {out(nx), in(ny), in(nw), y, absent()}, dgrad, p);
  else add<DepthwiseConv2dDgrad>(op, Pass::dgrad, name, tier, {out(nx), in(ny), in(nw), y}, dgrad, p);
  add<Conv2dWgrad>(op, Pass::wgrad, name, tier, {out(nw), with_bias ? out(p.c_out) : absent(), in(ny), in(nx), y}, cost(pixels), p);
}

namespace {

// conv2d with everything that it can do besides: forward adds a residual and sums channels, dgrad adds another gradient.
void add_fused(Tier tier, const Conv2dParams& p) {
  const int64_t k = p.kh * p.kw * p.c_in / p.groups, pixels = p.n * p.out_h() * p.out_w(), ny = pixels * p.c_out;
  const int64_t nx = p.n * p.h * p.w * p.c_in, nw = p.c_out * k;
  const auto name = fmt::format("n={} {}x{}x{} out={} kernel={}x{} stride={} padding={} groups={} relu", p.n, p.h, p.w, p.c_in,
                                p.c_out, p.kh, p.kw, p.stride, p.padding, p.groups);
  const double flops = 2.0 * double(ny) * double(k);
  add<Conv2dForward>(Op::conv2d, Pass::forward, name + " residual", tier, {out(ny), absent(), in(nx), in(nw), in(p.c_out), in(ny)},
                     {.reduction = double(k), .flops = flops}, p);
  add<Conv2dForward>(Op::conv2d, Pass::forward, name + " residual statistics", tier,  // of y as it is stored
                     {out(ny), out(2 * p.c_out), in(nx), in(nw), in(p.c_out), in(ny)},
                     {.reduction = double(k + pixels), .flops = flops, .rounds_inside = true}, p);
  add<Conv2dDgrad>(Op::conv2d, Pass::dgrad, name + " others", tier, {out(nx), in(ny), in(nw), in(ny), in(nx)},
                   {.reduction = double(p.kh * p.kw * p.c_out / p.groups), .flops = flops}, p);
}

void add_both(Op op, Tier tier, Conv2dParams p, bool with_bias) {
  for (Activation f : {Activation::none, Activation::relu}) {
    if (tier == Tier::bench && f == Activation::none) continue;
    p.activation = f;
    add_conv2d(op, tier, p, with_bias ? Bias::present : Bias::absent);
  }
}

}  // namespace

// {n, h, w, c_in, c_out, kh, kw, stride, padding, dilation, groups}
GRAFT_CASES(conv2d) {
  const auto add = [](Tier tier, const Conv2dParams& p, bool bias = true) { add_both(Op::conv2d, tier, p, bias); };
  add(Tier::smoke, {1, 1, 1, 1, 1, 1, 1});
  add(Tier::smoke, {2, 5, 4, 3, 5, 3, 3, 1, 1});
  add(Tier::smoke, {1, 4, 4, 2, 2, 2, 2, 2, 0}, false);
  add(Tier::smoke, {1, 6, 5, 8, 16, 3, 3, 2, 1});         // channels in units of 16 bytes in any type
  add(Tier::smoke, {2, 5, 7, 16, 8, 1, 1, 1, 0}, false);  // a product of matrices
  add(Tier::ci, {1, 12, 11, 3, 16, 7, 7, 2, 3});          // a stem
  add(Tier::ci, {1, 7, 7, 16, 16, 3, 3, 2, 1, 1, 2});     // stride and groups in units
  add(Tier::ci, {1, 12, 12, 72, 136, 1, 1});              // a product of matrices, pairs of tiles
  add(Tier::ci, {2, 16, 16, 3, 16, 3, 3, 1, 1});
  add(Tier::ci, {3, 8, 8, 32, 48, 3, 3, 1, 1});
  add(Tier::ci, {2, 9, 7, 6, 10, 3, 2, 2, 1, 1, 2});    // stride and groups
  add(Tier::ci, {2, 11, 13, 8, 12, 3, 3, 3, 2, 2, 4});  // stride, dilation and groups
  add(Tier::ci, {1, 5, 6, 4, 6, 3, 3, 1, 5});           // padding larger than the kernel
  add(Tier::ci, {1, 5, 5, 3, 3, 1, 1, 1, 2});
  add(Tier::ci, {2, 7, 7, 3, 5, 7, 7, 1, 0});  // kernel as large as the image
  add(Tier::ci, {1, 2, 2, 3, 4, 3, 3, 2, 1});  // larger
  add(Tier::ci, {1, 3, 3, 2, 3, 2, 2, 5, 1});  // stride larger than the kernel: pixels nobody reads
  add(Tier::ci, {2, 9, 9, 5, 20, 1, 1, 2, 0}, false);
  add(Tier::ci, {1, 8, 8, 16, 16, 1, 1, 1, 0});           // read in place
  add(Tier::ci, {2, 3, 3, 400, 70, 2, 2, 1, 0});          // k in several blocks
  add(Tier::ci, {1, 60, 61, 40, 17, 3, 3, 1, 1}, false);  // several strips
  add(Tier::ci, {1, 66, 65, 8, 1008, 1, 1, 1, 0});        // y goes past the caches of a cpu
  add_fused(Tier::smoke, {2, 5, 4, 3, 5, 3, 3, 1, 1, 1, 1, Activation::relu});
  add_fused(Tier::smoke, {1, 5, 6, 8, 16, 3, 3, 1, 1, 1, 1, Activation::relu});
  add_fused(Tier::ci, {3, 9, 7, 16, 24, 1, 1, 1, 0, 1, 1, Activation::relu});
  add_fused(Tier::ci, {20, 9, 7, 16, 24, 3, 3, 2, 1, 1, 2, Activation::relu});
  add_fused(Tier::ci, {1, 12, 12, 72, 136, 1, 1, 1, 0, 1, 1, Activation::relu});
  add_fused(Tier::ci, {2, 3, 3, 400, 70, 2, 2, 1, 0, 1, 1, Activation::relu});  // k in several blocks
  add_fused(Tier::ci, {1, 3, 3, 2, 3, 2, 2, 5, 1, 1, 1, Activation::relu});     // pixels nobody reads
  add(Tier::full, {3, 224, 224, 3, 8, 7, 7, 2, 3});
  add(Tier::full, {1, 4, 4, 2, 70001, 1, 1});
  add(Tier::full, {70001, 1, 1, 8, 8, 1, 1});

  add(Tier::bench, {50, 32, 32, 3, 16, 3, 3, 1, 1});  // the study CNN
  add(Tier::bench, {50, 16, 16, 16, 32, 3, 3, 1, 1});
  add(Tier::bench, {50, 8, 8, 32, 48, 3, 3, 1, 1});
  add(Tier::bench, {50, 8, 8, 48, 48, 3, 3, 1, 1});
  add(Tier::bench, {32, 32, 32, 16, 16, 3, 3, 1, 1});  // ResNet-20
  add(Tier::bench, {32, 32, 32, 16, 32, 3, 3, 2, 1});
  add(Tier::bench, {32, 8, 8, 64, 64, 3, 3, 1, 1});
  add(Tier::bench, {1, 224, 224, 3, 64, 7, 7, 2, 3});  // ResNet-18 and -50
  add(Tier::bench, {1, 56, 56, 64, 64, 3, 3, 1, 1});
  add(Tier::bench, {8, 7, 7, 512, 512, 3, 3, 1, 1});
  add(Tier::bench, {1, 56, 56, 256, 64, 1, 1, 1, 0});
  add(Tier::bench, {1, 56, 56, 64, 256, 1, 1, 1, 0});
  add(Tier::bench, {1, 27, 27, 96, 256, 5, 5, 1, 2, 1, 2});  // AlexNet's second layer
}

GRAFT_CASES(depthwise_conv2d) {
  const auto add = [](Tier tier, const Conv2dParams& p, bool bias = true) { add_both(Op::depthwise_conv2d, tier, p, bias); };
  add(Tier::smoke, {1, 3, 3, 2, 2, 3, 3, 1, 1, 1, 2});
  add(Tier::smoke, {2, 4, 5, 9, 9, 2, 3, 2, 1, 1, 9}, false);
  add(Tier::smoke, {1, 5, 6, 16, 16, 3, 3, 1, 1, 1, 16});  // channels in units of 16 bytes in any type
  add(Tier::smoke, {2, 5, 6, 8, 8, 5, 3, 2, 1, 1, 8}, false);
  add(Tier::ci, {2, 6, 5, 12, 12, 3, 3, 1, 1, 1, 12});
  add(Tier::ci, {2, 9, 9, 40, 40, 3, 3, 2, 1, 1, 40}, false);
  add(Tier::ci, {1, 7, 9, 17, 17, 5, 5, 1, 2, 2, 17});
  add(Tier::ci, {2, 14, 14, 64, 64, 3, 3, 1, 1, 1, 64});
  add(Tier::ci, {2, 31, 30, 11, 11, 7, 7, 3, 3, 1, 11});
  add(Tier::ci, {1, 4, 4, 33, 33, 3, 3, 1, 6, 1, 33});  // padding larger than the kernel
  add(Tier::ci, {3, 5, 5, 8, 8, 5, 5, 1, 0, 1, 8});     // kernel as large as the image
  add(Tier::full, {1, 4, 4, 70001, 70001, 3, 3, 1, 1, 1, 70001});
  add(Tier::bench, {2, 112, 112, 32, 32, 3, 3, 1, 1, 1, 32});  // MobileNetV2
  add(Tier::bench, {2, 56, 56, 144, 144, 3, 3, 2, 1, 1, 144});
  add(Tier::bench, {2, 14, 14, 576, 576, 3, 3, 1, 1, 1, 576});
}

}  // namespace graft::harness
