// Version 6 of matmul and linear: mma_loop.cuh on matrices.
#include "kernels/matmul/mma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
void run(Context& context, const MatrixProduct<T>& p) {
  with_operands(p, [&](const auto& product) { run_mma(context, product, p.split); });
}

}  // namespace

bool supports_mma(const MatrixProduct<float>& p) { return aligned_lines(p); }
bool supports_mma(const MatrixProduct<BFloat16>& p) { return aligned_lines(p); }
void mma_product(Context& context, const MatrixProduct<float>& p) { run(context, p); }
void mma_product(Context& context, const MatrixProduct<BFloat16>& p) { run(context, p); }

}  // namespace graft::GRAFT_GPU
