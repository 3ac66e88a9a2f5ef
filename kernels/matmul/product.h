// What the fast main loops compute on the GPU, for matmul and for linear: c = f(op(a) op(b) + bias) or c += op(a) op(b).
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/simt.h"
#include "kernels/matmul/matmul.h"

namespace graft {

template <class T>
struct MatrixProduct {
  T* c;
  const T *a, *b;
  MatmulParams shape;
  const T* bias = nullptr;  // [n], added to each row
  bool relu = false;

  __host__ __device__ int64_t a_line() const { return shape.transpose_a ? shape.m : shape.k; }  // of memory
  __host__ __device__ int64_t b_line() const { return shape.transpose_b ? shape.k : shape.n; }
};

// Whether loads of 16 bytes from a and b are aligned: the length of their lines, and where they start.
template <class T>
bool aligned_lines(const MatrixProduct<T>& p) {
  const auto aligned = [](const void* x) { return reinterpret_cast<uintptr_t>(x) % 16 == 0; };
  constexpr int64_t kElements = 16 / sizeof(T);
  return aligned(p.a) && aligned(p.b) && p.a_line() % kElements == 0 && p.b_line() % kElements == 0;
}

}  // namespace graft

namespace graft::GRAFT_GPU {

constexpr int64_t kMaxBatch = 65535;  // of gridDim.z; kernels stride over more

bool supports_vectorised(const MatrixProduct<float>&);
void vectorised_product(Context&, const MatrixProduct<float>&);
bool supports_mma(const MatrixProduct<float>&);  // rounds its inputs to tf32
bool supports_mma(const MatrixProduct<BFloat16>&);
void mma_product(Context&, const MatrixProduct<float>&);
void mma_product(Context&, const MatrixProduct<BFloat16>&);

}  // namespace graft::GRAFT_GPU
