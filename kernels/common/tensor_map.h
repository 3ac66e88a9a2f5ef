// What TMA copies: a tensor in global memory and the box of it that one instruction moves. Made on the host, handed to a kernel
// as `const __grid_constant__ TensorMap`. Dimensions count from the innermost, whose elements are contiguous.
#pragma once
#include <cstdint>

#include "kernels/common/dtype.h"
#include "kernels/common/simt.h"

namespace graft {

// The 16-byte chunks of a box in shared memory are permuted by an xor of address bits: b128 takes bits 7-9 into bits 4-6, b64
// bits 7-8 into 4-5, b32 bit 7 into 4 (PTX ISA, "Tensors: Swizzling Modes"). The pattern repeats every 1024, 512, 256 bytes: align
// boxes to that. The rows of a box have 128, 64, 32 bytes then, and lie one behind the other.
enum class Swizzle : uint8_t { none, b32, b64, b128 };

__host__ __device__ constexpr int swizzle_bytes(Swizzle s) { return s == Swizzle::none ? 16 : 16 << int(s); }
__host__ __device__ constexpr int swizzle_alignment(Swizzle s) { return s == Swizzle::none ? 128 : 8 * swizzle_bytes(s); }
__host__ __device__ constexpr uint32_t swizzled(uint32_t byte, Swizzle s) {
  return byte ^ ((byte >> 7 & ((1u << int(s)) - 1)) << 4);
}

// Which dimension of a matrix operand is contiguous in shared memory (wgmma.h).
enum class Major : uint8_t { k, mn };

// The driver's rules (cuTensorMapEncodeTiled), checked on emu as well: data and strides multiples of 16 bytes, rows of a box
// multiples of 16 bytes, box sizes 1 to 256, steps 1 to 8. What lies outside of the tensor is read as zero and not written.
struct TiledTensor {
  const void* data;
  DType dtype;  // f32, bf16 or f16
  int rank;     // 1 to 5
  int64_t size[5];
  int64_t stride[4];  // in bytes, of dimensions 1, 2, ...
  int box[5];
  Swizzle swizzle = Swizzle::none;
  int step[5] = {1, 1, 1, 1, 1};  // every step-th element along a dimension > 0: a box covers `box`, and holds ceil(box / step)
};

// The patches of a convolution: images [N, (D,) H, W, C], innermost first C, W, H, (D,) N. A copy takes `pixels` pixels in the
// order W, H, D, N from a start on, at most `channels` channels of each. Pixels walk through a box from `lower` to (size - 1) +
// `upper`, in each of W, H, D, by `step`; then an offset, the position in the filter, is added to each; outside is zero. For a
// filter of k positions with dilation d and padding p, lower = -p and upper = p - (k - 1) d. (PTX ISA, "Tensors: im2col mode";
// corners in the order W, H, D, as CUTLASS passes them; an H200 agrees.)
struct Im2colTensor {
  const void* data;
  DType dtype;
  int rank;  // 3 to 5
  int64_t size[5];
  int64_t stride[4];
  int lower[3], upper[3];
  int channels, pixels;  // at most 256 and 1024
  Swizzle swizzle = Swizzle::none;
  int step[5] = {1, 1, 1, 1, 1};
};

}  // namespace graft

#if defined(__CUDACC__)
#include "kernels/runtime/cuda/tensor_map.h"
#else
#include "kernels/runtime/emu/tensor_map.h"
#endif
