// What the main loops compute on the GPU for matmul, for linear and for 1x1 convolutions:
// c = f(op(a) op(b) + bias + residual), matrix by matrix.
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/simt.h"
#include "kernels/elementwise/activation.h"
#include "kernels/matmul/matmul.h"

namespace graft {

// A block may sum a part of k only; the parts are added in order afterwards. Cut by shape: what is summed over the batch
// (weight gradients) may be split, a row of a forward pass may not depend on how many there are.
enum class SplitK : uint8_t { never, by_shape };

template <class T>
struct MatrixProduct {
  T* c;
  const T *a, *b;
  MatmulParams shape;                        // Write::accumulate: residual is c
  const T* bias = nullptr;                   // [n], added to each row
  const T* residual = nullptr;               // like c, added before f; may be c
  Activation activation = Activation::none;  // f: none, relu or gelu
  SplitK split = SplitK::never;
  float* statistics = nullptr;         // [2, n]: mean and variance of the columns of c (statistics.cuh)
  T* sums_of_a = nullptr;              // [m]: the sums over k of op(a), version 8 with a transposed alone: a bias gradient
  int64_t padded_a = 0, padded_b = 0;  // elements from line to line of a copy; 0: dense

  int64_t a_line() const { return padded_a ? padded_a : shape.transpose_a ? shape.m : shape.k; }  // of memory
  int64_t b_line() const { return padded_b ? padded_b : shape.transpose_b ? shape.k : shape.n; }
  int64_t a_lines() const { return shape.transpose_a ? shape.k : shape.m; }  // of one matrix
  int64_t b_lines() const { return shape.transpose_b ? shape.n : shape.k; }
};

inline bool is_aligned_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Whether loads of 16 bytes from a and b are aligned: the length of their lines, and where they start.
template <class T>
bool aligned_lines(const MatrixProduct<T>& p) {
  constexpr int64_t kElements = 16 / sizeof(T);
  return is_aligned_16(p.a) && is_aligned_16(p.b) && p.a_line() % kElements == 0 && p.b_line() % kElements == 0;
}

// Indices within one matrix are 32-bit. ShapeError beyond 2^30: what is rounded up to tiles stays inside.
int index_32(int64_t);

}  // namespace graft

namespace graft::GRAFT_GPU {

// Engines: each a main loop over operands (operand.cuh), under the number that it has in every ladder.
template <class T>
bool supports_tile(const MatrixProduct<T>&) {  // v1 of linear and conv2d, v4 of matmul
  return true;
}
void tile_product(Context&, const MatrixProduct<float>&);
void tile_product(Context&, const MatrixProduct<BFloat16>&);
bool supports_vectorised(const MatrixProduct<float>&);  // v5
void vectorised_product(Context&, const MatrixProduct<float>&);
bool supports_mma(const MatrixProduct<float>&);  // v6; rounds its inputs to tf32
bool supports_mma(const MatrixProduct<BFloat16>&);
void mma_product(Context&, const MatrixProduct<float>&);
void mma_product(Context&, const MatrixProduct<BFloat16>&);
bool supports_wgmma(const MatrixProduct<float>&);  // v7, Hopper; a and b along k, cut to tf32
bool supports_wgmma(const MatrixProduct<BFloat16>&);
void wgmma_product(Context&, const MatrixProduct<float>&);
void wgmma_product(Context&, const MatrixProduct<BFloat16>&);
bool supports_persistent(const MatrixProduct<BFloat16>&);  // v8, Hopper
void persistent_product(Context&, const MatrixProduct<BFloat16>&);
bool supports_simt_tma(const MatrixProduct<float>&);  // v9, Hopper
bool simt_tma_pays(const MatrixProduct<float>&);
void simt_tma_product(Context&, const MatrixProduct<float>&);

}  // namespace graft::GRAFT_GPU
