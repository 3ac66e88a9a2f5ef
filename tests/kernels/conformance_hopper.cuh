// Conformance of what only Hopper has: TMA, clusters, wgmma. The kernels of hopper_kernels.cuh on random words.
#include "tests/kernels/conformance.h"
#include "tests/kernels/hopper_kernels.cuh"

namespace graft::GRAFT_GPU {
namespace {

using conformance::Fill;
using conformance::Wrapper;

// A box of a tensor of 40 x 7 x 6 floats, partly outside of it on both sides.
template <Swizzle kSwizzle>
void run_tma_load(Context& context, uint32_t* out, const uint32_t* in) {
  constexpr int kWidth = kSwizzle == Swizzle::none ? 12 : swizzle_bytes(kSwizzle) / 4;
  const TensorMap map = tensor_map(TiledTensor{in, DType::f32, 3, {40, 7, 6}, {160, 1120}, {kWidth, 4, 3}, kSwizzle});
  launch(load_box<3, false>, 1, 64, kBytes, context, reinterpret_cast<float*>(out), map, kWidth * 12 * 4, (40 - kWidth / 2) & ~3,
         -1, 4, 0, 0, 0, 0);
}
// Patches of images of 2 x 5 x 6 x 16 floats or x 72 of bf16, a filter of 3 x 2, padding 1; partly channels beyond the last.
template <Swizzle kSwizzle, int kStride, int kDilation, class T = float>
void run_tma_im2col(Context& context, uint32_t* out, const uint32_t* in) {
  constexpr int kBytesOf = int(sizeof(T)), kSize = kBytesOf == 4 ? 16 : 72, kPixels = 20;
  constexpr int kChannels = kSwizzle == Swizzle::none ? 12 : swizzle_bytes(kSwizzle) / kBytesOf;
  const TensorMap map = tensor_map(Im2colTensor{in,
                                                dtype_of<T>,
                                                4,
                                                {kSize, 6, 5, 2},
                                                {kSize * kBytesOf, 6 * kSize * kBytesOf, 30 * kSize * kBytesOf},
                                                {-1, -1},
                                                {1 - kDilation, 1 - 2 * kDilation},
                                                kChannels,
                                                kPixels,
                                                kSwizzle,
                                                {1, kStride, kStride, 1}});
  launch(load_box<4, true>, 1, 32, kBytes, context, reinterpret_cast<float*>(out), map, kPixels * kChannels * kBytesOf,
         32 / kBytesOf, 2 * kStride - 1, kStride - 1, 0, 0, kDilation, 2 * kDilation);
}
TensorMap floats_32x64(const uint32_t* p) { return tensor_map(TiledTensor{p, DType::f32, 2, {64, 32}, {256}, {32, 8}}); }
void run_tma_store(Context& context, uint32_t* out, const uint32_t* in) {
  launch(double_tiles, dim3(2, 2), 64, kBytes, context, floats_32x64(in), floats_32x64(out));
}
void run_multicast(Context& context, uint32_t* out, const uint32_t* in) {
  launch_cluster(multicast, 4, 2, 32, kBytes, context, reinterpret_cast<float*>(out), floats_32x64(in));
}

template <class T, Major kMajorOf, int kRows>
TensorMap operand_of(const uint32_t* p, Swizzle s) {
  constexpr int kDepth = kLines / int(sizeof(T));
  constexpr int64_t kLine = kMajorOf == Major::k ? kDepth : kRows, kCount = kMajorOf == Major::k ? kRows : kDepth;
  constexpr DType kType = sizeof(T) == 4 ? DType::f32 : std::is_same_v<T, Half> ? DType::f16 : DType::bf16;
  return tensor_map(
      TiledTensor{p, kType, 2, {kLine, kCount}, {kLine * int64_t(sizeof(T))}, {swizzle_bytes(s) / int(sizeof(T)), int(kCount)}, s});
}
template <class T, Major kA, Major kB, int kN, Swizzle kSwizzle>
void run_wgmma(Context& context, uint32_t* out, const uint32_t* in) {
  launch(product<T, kA, kB, kN>, 1, 128, aligned_shared_bytes<Tiles<kN>>, context, reinterpret_cast<float*>(out),
         operand_of<T, kA, 64>(in, kSwizzle), operand_of<T, kB, kN>(in + 64 * kLines / 4, kSwizzle), kSwizzle);
}
template <class T, Major kA, Major kB, int kN, Swizzle kSwizzle>
constexpr Wrapper wgmma_of(const char* name, Fill fill) {
  return {name, (64 + kN) * kLines / 4, 64 * kN, fill, 2 * kLines / int(sizeof(T)), run_wgmma<T, kA, kB, kN, kSwizzle>};
}
TensorMap lines_of_64(const void* p) {
  return tensor_map(TiledTensor{p, DType::bf16, 2, {64, 112}, {128}, {64, 112}, Swizzle::b128});
}
void run_product_of_lines(Context& context, uint32_t* out, const uint32_t* in) {
  launch(product_of_lines, 1, 128, 16 << 10, context, reinterpret_cast<float*>(out), lines_of_64(in));
}

}  // namespace

std::span<const Wrapper> conformance_hopper_wrappers() {
  constexpr Major k = Major::k, mn = Major::mn;
  static const Wrapper all[] = {
      {"tma load", 1680, 144, Fill::bits, 0, run_tma_load<Swizzle::none>},
      {"tma load b32", 1680, 96, Fill::bits, 0, run_tma_load<Swizzle::b32>},
      {"tma load b64", 1680, 192, Fill::bits, 0, run_tma_load<Swizzle::b64>},
      {"tma load b128", 1680, 384, Fill::bits, 0, run_tma_load<Swizzle::b128>},
      {"tma im2col", 960, 240, Fill::bits, 0, run_tma_im2col<Swizzle::none, 1, 1>},
      {"tma im2col stride 2", 960, 240, Fill::bits, 0, run_tma_im2col<Swizzle::none, 2, 1>},
      {"tma im2col dilation 2, b32", 960, 160, Fill::bits, 0, run_tma_im2col<Swizzle::b32, 1, 2>},
      {"tma im2col bf16, b128", 2160, 640, Fill::bits, 0, run_tma_im2col<Swizzle::b128, 1, 1, BFloat16>},
      {"tma im2col bf16 stride 2, b128", 2160, 640, Fill::bits, 0, run_tma_im2col<Swizzle::b128, 2, 1, BFloat16>},
      {"tma store", 2048, 2048, Fill::floats, 0, run_tma_store},
      {"tma multicast", 2048, 2048, Fill::floats, 0, run_multicast},
      wgmma_of<BFloat16, k, k, 64, Swizzle::b128>("wgmma bf16 k k b128", Fill::bf16),
      wgmma_of<BFloat16, k, k, 64, Swizzle::b64>("wgmma bf16 k k b64", Fill::bf16),
      wgmma_of<BFloat16, k, k, 64, Swizzle::b32>("wgmma bf16 k k b32", Fill::bf16),
      wgmma_of<BFloat16, mn, k, 64, Swizzle::b128>("wgmma bf16 mn k b128", Fill::bf16),
      wgmma_of<BFloat16, k, mn, 64, Swizzle::b128>("wgmma bf16 k mn b128", Fill::bf16),
      wgmma_of<BFloat16, mn, mn, 128, Swizzle::b64>("wgmma bf16 mn mn b64", Fill::bf16),
      wgmma_of<Half, k, k, 64, Swizzle::b128>("wgmma f16 k k b128", Fill::f16),
      {"wgmma bf16 from any line, b128", 3584, 64 * 256, Fill::bf16, 64, run_product_of_lines},
      wgmma_of<float, k, k, 64, Swizzle::b128>("wgmma tf32 k k b128", Fill::floats),
  };
  return all;
}

}  // namespace graft::GRAFT_GPU
