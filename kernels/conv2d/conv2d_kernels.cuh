// 2-D convolution, NHWC, as implicit products (products.cuh) on the main loops of matmul: formula and shapes in conv2d.h.
//
// | version          | accepts                                        | what it teaches                                       |
// |------------------|------------------------------------------------|-------------------------------------------------------|
// | v1 register tile | all                                            | implicit GEMM: patches are addressed, never stored    |
// | v5 vectorised    | fp32, channels of a group in units of 16 bytes | the same addresses for float4, 8 x 8 sums a thread    |
// | v6 mma           | as v5, bf16 units; fp32 by request (tf32)      | the same addresses for cp.async, tensor cores         |
// | v7 wgmma         | bf16 on Hopper, channels in units of 16 bytes, | wgmma_kernels.cuh: TMA finds the patches; the loop of |
// |                  | those that are summed in 64s where groups > 1  | matmul does not know that they are none of a matrix   |
// | v8 persistent    | as v7                                          | the loop of matmul's v8: the next tile is under way   |
// |                  |                                                | while one is stored                                   |
// | v9 halo          | bf16 on Hopper, larger kernels with stride 1,  | halo_kernels.cuh: a tile of pixels is loaded once for |
// |                  | no groups; wgrad 3 x 3                         | all taps, which are operands of the same memory       |
// | v10 space to     | bf16 on Hopper, up to 4 channels, stride 2, no | space_to_depth.cuh: squares of pixels as pixels; rows |
// |     depth        | groups; not dgrad                              | of taps as taps of an image whose pixels overlap      |
//
// In every version a 1 x 1 convolution with stride 1 is a product of matrices; dgrad visits, for each residue of the stride,
// only the taps that meet it; wgrad cuts k, the output pixels, into parts that are added in order (split.cuh). v5 and v6 fill
// up the channels of a stem with zeros (forward and wgrad, channels.cuh). Forward adds bias and residual, computes relu and sums
// channels for a batch normalisation while c is in registers; dgrad adds another gradient of x. relu's gradient and dbias:
// kernels/matmul/gradient.cuh.
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/conv2d/channels.cuh"
#include "kernels/conv2d/halo.h"
#include "kernels/conv2d/products.cuh"
#include "kernels/conv2d/unmet.cuh"
#include "kernels/conv2d/wgmma.h"
#include "kernels/matmul/gradient.cuh"
#include "kernels/matmul/mma_loop.cuh"
#include "kernels/matmul/tile.cuh"
#include "kernels/matmul/vectorised_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

// Each engine runs products of any operands, and matrices where they are compiled already.
struct TileLoop {
  static constexpr bool kAnyAddress = true;
  template <class P>
  static void run(Context& context, const P& p, SplitK split) {
    run_tile(context, p, split);
  }
  template <class T>
  static void run(Context& context, const MatrixProduct<T>& p) {
    tile_product(context, p);
  }
};
struct VectorisedLoop {
  static constexpr bool kAnyAddress = false;
  template <class P>
  static void run(Context& context, const P& p, SplitK split) {
    run_vectorised(context, p, split);
  }
  static void run(Context& context, const MatrixProduct<float>& p) { vectorised_product(context, p); }
};
struct MmaLoop {
  static constexpr bool kAnyAddress = false;
  template <class P>
  static void run(Context& context, const P& p, SplitK split) {
    run_mma(context, p, split);
  }
  template <class T>
  static void run(Context& context, const MatrixProduct<T>& p) {
    mma_product(context, p);
  }
};

template <class T, class Engine>
struct By {
  static bool units(int64_t channels) { return channels % kVector<T> == 0; }
  static bool units_in(const Conv2dParams& p) { return units(p.c_in / p.groups); }
  static bool units_out(const Conv2dParams& p) { return units(p.c_out / p.groups); }

  static bool supports_forward(T*, float*, const T* x, const T* weight, const T*, const T*, const Conv2dParams& p) {
    return Engine::kAnyAddress || (aligned_16(x, weight) && (units_in(p) || p.groups == 1));
  }
  static bool supports_dgrad(T*, const T* dy, const T* weight, const T*, const T*, const Conv2dParams& p) {
    return Engine::kAnyAddress || (aligned_16(dy, weight) && units_in(p) && units_out(p));
  }
  static bool supports_wgrad(T*, T*, const T* dy, const T* x, const T*, const Conv2dParams& p) {
    return Engine::kAnyAddress || (aligned_16(dy, x) && units_out(p) && (units_in(p) || p.groups == 1));
  }

  static void forward(Context& context, T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                      const Conv2dParams& p) {
    if (!Engine::kAnyAddress && !units_in(p)) {
      const Conv2dParams q = padded<T>(p);
      const int64_t pixels = p.n * p.h * p.w, taps = p.c_out * p.kh * p.kw;
      const auto wide_x = device_scratch<T>(context, size_t(pixels * q.c_in));
      const auto wide_weight = device_scratch<T>(context, size_t(taps * q.c_in));
      resize_channels<T>(context, wide_x.get(), x, pixels, q.c_in, p.c_in);
      resize_channels<T>(context, wide_weight.get(), weight, taps, q.c_in, p.c_in);
      return forward(context, y, statistics, wide_x.get(), wide_weight.get(), bias, residual, q);
    }
    if (is_matrix(p)) return Engine::run(context, matrix_forward(y, statistics, x, weight, bias, residual, p));
    Engine::run(context, forward_product(y, statistics, x, weight, bias, residual, p), SplitK::never);
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    if (is_matrix(p)) return Engine::run(context, matrix_dgrad<T>(dx, gradient, weight, others, p));
    unmet_pixels(context, dx, others, p);
    for_each_dgrad_product<T>(dx, gradient, weight, others, p,
                              [&](const auto& product) { Engine::run(context, product, SplitK::never); });
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    weight_gradient(context, dweight, gradient, x, p);
    bias_gradient<T>(context, dbias, gradient, output_pixels(p), p.c_out);
  }

 private:
  static void weight_gradient(Context& context, T* dweight, const T* dy, const T* x, const Conv2dParams& p) {
    if (!Engine::kAnyAddress && !units_in(p)) {
      const Conv2dParams q = padded<T>(p);
      const int64_t pixels = p.n * p.h * p.w, taps = p.c_out * p.kh * p.kw;
      const auto wide_x = device_scratch<T>(context, size_t(pixels * q.c_in));
      const auto wide_dweight = device_scratch<T>(context, size_t(taps * q.c_in));
      resize_channels<T>(context, wide_x.get(), x, pixels, q.c_in, p.c_in);
      weight_gradient(context, wide_dweight.get(), dy, wide_x.get(), q);
      return resize_channels<T>(context, dweight, wide_dweight.get(), taps, p.c_in, q.c_in);
    }
    if (is_matrix(p)) return Engine::run(context, matrix_wgrad(dweight, dy, x, p));
    Engine::run(context, wgrad_product(dweight, dy, x, p), SplitK::by_shape);
  }
};

// Engines that know matrices only.
template <bool (*kSupports)(const MatrixProduct<BFloat16>&), void (*kRun)(Context&, const MatrixProduct<BFloat16>&)>
struct Matrices {
  using T = BFloat16;
  static bool supports_forward(T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                               const Conv2dParams& p) {
    return is_matrix(p) && kSupports(matrix_forward(y, statistics, x, weight, bias, residual, p));
  }
  static bool supports_dgrad(T* dx, const T* dy, const T* weight, const T*, const T* others, const Conv2dParams& p) {
    return is_matrix(p) && kSupports(matrix_dgrad(dx, dy, weight, others, p));
  }
  static bool supports_wgrad(T* dweight, T*, const T* dy, const T* x, const T*, const Conv2dParams& p) {
    return is_matrix(p) && kSupports(matrix_wgrad(dweight, dy, x, p));
  }
  static void forward(Context& context, T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                      const Conv2dParams& p) {
    kRun(context, matrix_forward(y, statistics, x, weight, bias, residual, p));
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    kRun(context, matrix_dgrad<T>(dx, gradient, weight, others, p));
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    kRun(context, matrix_wgrad<T>(dweight, gradient, x, p));
    bias_gradient<T>(context, dbias, gradient, output_pixels(p), p.c_out);
  }
};

struct Wgmma {
  using T = BFloat16;
  using Matrix = Matrices<supports_wgmma, wgmma_product>;

  static bool supports_forward(T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                               const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::supports_forward(y, statistics, x, weight, bias, residual, p);
    const bool sums = !statistics || (aligned_16(y, residual) && p.c_out / p.groups % kVector<T> == 0);
    return sums && aligned_16(x, weight) && supports_wgmma(p, Pass::forward);
  }
  static bool supports_dgrad(T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::supports_dgrad(dx, dy, weight, y, others, p);
    return aligned_16(dy, weight) && supports_wgmma(p, Pass::dgrad);
  }
  static bool supports_wgrad(T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::supports_wgrad(dweight, dbias, dy, x, y, p);
    return aligned_16(dy, x) && supports_wgmma(p, Pass::wgrad);
  }
  static bool pays_forward(T*, float*, const T*, const T*, const T*, const T*, const Conv2dParams& p) {
    return is_matrix(p) || pays_wgmma(p, Pass::forward);
  }
  static bool pays_dgrad(T*, const T*, const T*, const T*, const T*, const Conv2dParams& p) {
    return is_matrix(p) || pays_wgmma(p, Pass::dgrad);
  }
  static bool pays_wgrad(T*, T*, const T*, const T*, const T*, const Conv2dParams& p) {
    return is_matrix(p) || pays_wgmma(p, Pass::wgrad);
  }

  static void forward(Context& context, T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                      const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::forward(context, y, statistics, x, weight, bias, residual, p);
    wgmma_forward(context, y, statistics, x, weight, bias, residual, p);
  }
  template <void (*kRun)(Context&, T*, const T*, const T*, const T*, const Conv2dParams&) = wgmma_dgrad>
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::dgrad(context, dx, dy, weight, y, others, p);
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    unmet_pixels(context, dx, others, p);
    kRun(context, dx, gradient, weight, others, p);
  }
  template <void (*kRun)(Context&, T*, const T*, const T*, const Conv2dParams&) = wgmma_wgrad>
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::wgrad(context, dweight, dbias, dy, x, y, p);
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    kRun(context, dweight, gradient, x, p);
    bias_gradient<T>(context, dbias, gradient, output_pixels(p), p.c_out);
  }
};

struct Persistent : Matrices<supports_persistent, persistent_product> {
  using Matrix = Matrices<supports_persistent, persistent_product>;
  static bool supports_forward(T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                               const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::supports_forward(y, statistics, x, weight, bias, residual, p);
    return Wgmma::supports_forward(y, statistics, x, weight, bias, residual, p) &&
           supports_persistent_patches(p, residual, statistics);
  }
  static bool pays_forward(T*, float* statistics, const T*, const T*, const T*, const T* residual, const Conv2dParams& p) {
    return is_matrix(p) || pays_persistent_patches(p, residual, statistics);
  }
  static void forward(Context& context, T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                      const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::forward(context, y, statistics, x, weight, bias, residual, p);
    persistent_forward(context, y, statistics, x, weight, bias, residual, p);
  }
  static bool supports_dgrad(T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    return is_matrix(p) ? Matrix::supports_dgrad(dx, dy, weight, y, others, p)
                        : Wgmma::supports_dgrad(dx, dy, weight, y, others, p);
  }
  static bool pays_dgrad(T*, const T*, const T*, const T*, const T* others, const Conv2dParams& p) {
    return is_matrix(p) || pays_persistent_dgrad(p, others);
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::dgrad(context, dx, dy, weight, y, others, p);
    Wgmma::dgrad<persistent_dgrad>(context, dx, dy, weight, y, others, p);
  }
  static bool supports_wgrad(T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    return is_matrix(p) ? Matrix::supports_wgrad(dweight, dbias, dy, x, y, p) : Wgmma::supports_wgrad(dweight, dbias, dy, x, y, p);
  }
  static bool pays_wgrad(T*, T*, const T*, const T*, const T*, const Conv2dParams& p) {
    return is_matrix(p) || pays_persistent_wgrad(p);
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    if (is_matrix(p)) return Matrix::wgrad(context, dweight, dbias, dy, x, y, p);
    Wgmma::wgrad<persistent_wgrad>(context, dweight, dbias, dy, x, y, p);
  }
};

struct Halo {
  using T = BFloat16;
  static bool supports_forward(T* y, float*, const T* x, const T* weight, const T*, const T* residual, const Conv2dParams& p) {
    return aligned_16(y, x, weight, residual) && supports_halo(p, Pass::forward);
  }
  static bool supports_dgrad(T* dx, const T* dy, const T* weight, const T*, const T* others, const Conv2dParams& p) {
    return aligned_16(dx, dy, weight, others) && supports_halo(p, Pass::dgrad);
  }

  static void forward(Context& context, T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                      const Conv2dParams& p) {
    halo_forward(context, y, statistics, x, weight, bias, residual, p);
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    halo_dgrad(context, dx, gradient, weight, others, p);
  }
  static bool supports_wgrad(T*, T*, const T* dy, const T* x, const T*, const Conv2dParams& p) {
    return aligned_16(dy, x) && supports_halo_wgrad(p);
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    halo_wgrad(context, dweight, gradient, x, p);
    bias_gradient<T>(context, dbias, gradient, output_pixels(p), p.c_out);
  }
  static bool pays_forward(T*, float*, const T*, const T*, const T*, const T*, const Conv2dParams& p) {
    return pays_halo(p, Pass::forward);
  }
  static bool pays_dgrad(T*, const T*, const T*, const T*, const T*, const Conv2dParams& p) { return pays_halo(p, Pass::dgrad); }
  static bool pays_wgrad(T*, T*, const T*, const T*, const T*, const Conv2dParams& p) { return pays_halo_wgrad(p); }
};

struct Squares {
  using T = BFloat16;
  static bool supports_forward(T* y, float* statistics, const T*, const T*, const T*, const T* residual, const Conv2dParams& p) {
    const bool sums = !statistics || (aligned_16(y, residual) && p.c_out % kVector<T> == 0);
    return sums && supports_space_to_depth(p, Pass::forward);
  }
  static bool supports_wgrad(T*, T*, const T* dy, const T*, const T*, const Conv2dParams& p) {
    return aligned_16(dy) && supports_space_to_depth(p, Pass::wgrad);
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_pixels(p) * p.c_out);
    space_to_depth_wgrad(context, dweight, gradient, x, p);
    bias_gradient<T>(context, dbias, gradient, output_pixels(p), p.c_out);
  }
  // Half of the 128 filters of a tile are used, and half of the GPU.
  static bool pays(const Conv2dParams& p) { return p.c_out >= 64 && output_pixels(p) >= 66 * 128; }
  static bool pays_forward(T*, float*, const T*, const T*, const T*, const T*, const Conv2dParams& p) { return pays(p); }
  static bool pays_wgrad(T*, T*, const T*, const T*, const T*, const Conv2dParams& p) { return pays(p); }
};

constexpr Rung<Conv2dForward<float>> kForward[] = {
    {{1, "register tile"}, By<float, TileLoop>::supports_forward, By<float, TileLoop>::forward},
    {{5, "vectorised"}, By<float, VectorisedLoop>::supports_forward, By<float, VectorisedLoop>::forward},
    {{6, "mma tf32", true}, By<float, MmaLoop>::supports_forward, By<float, MmaLoop>::forward},
};
constexpr Rung<Conv2dDgrad<float>> kDgrad[] = {
    {{1, "register tile"}, By<float, TileLoop>::supports_dgrad, By<float, TileLoop>::dgrad},
    {{5, "vectorised"}, By<float, VectorisedLoop>::supports_dgrad, By<float, VectorisedLoop>::dgrad},
    {{6, "mma tf32", true}, By<float, MmaLoop>::supports_dgrad, By<float, MmaLoop>::dgrad},
};
constexpr Rung<Conv2dWgrad<float>> kWgrad[] = {
    {{1, "register tile"}, By<float, TileLoop>::supports_wgrad, By<float, TileLoop>::wgrad},
    {{5, "vectorised"}, By<float, VectorisedLoop>::supports_wgrad, By<float, VectorisedLoop>::wgrad},
    {{6, "mma tf32", true}, By<float, MmaLoop>::supports_wgrad, By<float, MmaLoop>::wgrad},
};
constexpr Rung<Conv2dForward<BFloat16>> kForwardBf16[] = {
    {{1, "register tile"}, By<BFloat16, TileLoop>::supports_forward, By<BFloat16, TileLoop>::forward},
    {{6, "mma bf16"}, By<BFloat16, MmaLoop>::supports_forward, By<BFloat16, MmaLoop>::forward},
    {{7, "wgmma bf16"}, Wgmma::supports_forward, Wgmma::forward, Wgmma::pays_forward},
    {{8, "persistent bf16"}, Persistent::supports_forward, Persistent::forward, Persistent::pays_forward},
    {{9, "halo bf16"}, Halo::supports_forward, Halo::forward, Halo::pays_forward},
    {{10, "space to depth bf16"}, Squares::supports_forward, space_to_depth_forward, Squares::pays_forward},
};
constexpr Rung<Conv2dDgrad<BFloat16>> kDgradBf16[] = {
    {{1, "register tile"}, By<BFloat16, TileLoop>::supports_dgrad, By<BFloat16, TileLoop>::dgrad},
    {{6, "mma bf16"}, By<BFloat16, MmaLoop>::supports_dgrad, By<BFloat16, MmaLoop>::dgrad},
    {{7, "wgmma bf16"}, Wgmma::supports_dgrad, Wgmma::dgrad<>, Wgmma::pays_dgrad},
    {{8, "persistent bf16"}, Persistent::supports_dgrad, Persistent::dgrad, Persistent::pays_dgrad},
    {{9, "halo bf16"}, Halo::supports_dgrad, Halo::dgrad, Halo::pays_dgrad},
};
constexpr Rung<Conv2dWgrad<BFloat16>> kWgradBf16[] = {
    {{1, "register tile"}, By<BFloat16, TileLoop>::supports_wgrad, By<BFloat16, TileLoop>::wgrad},
    {{6, "mma bf16"}, By<BFloat16, MmaLoop>::supports_wgrad, By<BFloat16, MmaLoop>::wgrad},
    {{7, "wgmma bf16"}, Wgmma::supports_wgrad, Wgmma::wgrad<>, Wgmma::pays_wgrad},
    {{8, "persistent bf16"}, Persistent::supports_wgrad, Persistent::wgrad, Persistent::pays_wgrad},
    {{9, "halo bf16"}, Halo::supports_wgrad, Halo::wgrad, Halo::pays_wgrad},
    {{10, "space to depth bf16"}, Squares::supports_wgrad, Squares::wgrad, Squares::pays_wgrad},
};

}  // namespace

void conv2d_forward(Context& context, float* y, float* statistics, const float* x, const float* weight, const float* bias,
                    const float* residual, const Conv2dParams& p) {
  run_version(Op::conv2d, kForward, context, y, statistics, x, weight, bias, residual, p);
}
void conv2d_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const float* others,
                  const Conv2dParams& p) {
  run_version(Op::conv2d, kDgrad, context, dx, dy, weight, y, others, p);
}
void conv2d_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const Conv2dParams& p) {
  run_version(Op::conv2d, kWgrad, context, dweight, dbias, dy, x, y, p);
}
void conv2d_forward(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                    const BFloat16* bias, const BFloat16* residual, const Conv2dParams& p) {
  run_version(Op::conv2d, kForwardBf16, context, y, statistics, x, weight, bias, residual, p);
}
void conv2d_dgrad(Context& context, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* y,
                  const BFloat16* others, const Conv2dParams& p) {
  run_version(Op::conv2d, kDgradBf16, context, dx, dy, weight, y, others, p);
}
void conv2d_wgrad(Context& context, BFloat16* dweight, BFloat16* dbias, const BFloat16* dy, const BFloat16* x, const BFloat16* y,
                  const Conv2dParams& p) {
  run_version(Op::conv2d, kWgradBf16, context, dweight, dbias, dy, x, y, p);
}

GRAFT_KERNEL(conv2d, forward, GRAFT_GPU, float, Conv2dForward);
GRAFT_KERNEL(conv2d, dgrad, GRAFT_GPU, float, Conv2dDgrad);
GRAFT_KERNEL(conv2d, wgrad, GRAFT_GPU, float, Conv2dWgrad);
GRAFT_KERNEL(conv2d, forward, GRAFT_GPU, BFloat16, Conv2dForward);
GRAFT_KERNEL(conv2d, dgrad, GRAFT_GPU, BFloat16, Conv2dDgrad);
GRAFT_KERNEL(conv2d, wgrad, GRAFT_GPU, BFloat16, Conv2dWgrad);
GRAFT_VERSIONS(conv2d, forward, GRAFT_GPU, float, kForward);
GRAFT_VERSIONS(conv2d, dgrad, GRAFT_GPU, float, kDgrad);
GRAFT_VERSIONS(conv2d, wgrad, GRAFT_GPU, float, kWgrad);
GRAFT_VERSIONS(conv2d, forward, GRAFT_GPU, BFloat16, kForwardBf16);
GRAFT_VERSIONS(conv2d, dgrad, GRAFT_GPU, BFloat16, kDgradBf16);
GRAFT_VERSIONS(conv2d, wgrad, GRAFT_GPU, BFloat16, kWgradBf16);

}  // namespace graft::GRAFT_GPU
