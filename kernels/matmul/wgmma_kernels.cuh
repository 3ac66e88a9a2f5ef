// Version 7 of matmul and linear, on Hopper: wgmma_product.cuh on matrices. Errors as in mma_loop.cuh, where for tf32 u = 2^-10:
// wgmma cuts what mma_loop.cuh rounds.
#include "kernels/matmul/aligned.cuh"
#include "kernels/matmul/wgmma_product.cuh"

namespace graft::GRAFT_GPU {

bool supports_wgmma(const MatrixProduct<BFloat16>& p) { return fits_wgmma(p); }
void wgmma_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&](const auto& product) { run_v7(context, product, p.split); });
  });
}
bool supports_wgmma(const MatrixProduct<float>& p) { return fits_wgmma(p) && !p.shape.transpose_a && p.shape.transpose_b; }
void wgmma_product(Context& context, const MatrixProduct<float>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&]<class P>(const P& product) {
      if constexpr (decltype(product.a)::kAlong == Along::k && decltype(product.b)::kAlong == Along::k)
        run_v7(context, product, p.split);
    });
  });
}

}  // namespace graft::GRAFT_GPU
