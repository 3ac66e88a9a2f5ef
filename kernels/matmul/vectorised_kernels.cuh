// Version 5 of matmul and linear: vectorised_loop.cuh on matrices.
#include "kernels/matmul/vectorised_loop.cuh"

namespace graft::GRAFT_GPU {

bool supports_vectorised(const MatrixProduct<float>& p) { return aligned_lines(p); }
void vectorised_product(Context& context, const MatrixProduct<float>& p) {
  with_operands(p, [&](const auto& product) { run_vectorised(context, product, p.split); });
}

}  // namespace graft::GRAFT_GPU
