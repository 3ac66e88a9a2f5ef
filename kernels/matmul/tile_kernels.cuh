// Version 4 of matmul, 1 of linear: tile.cuh on matrices.
#include "kernels/matmul/tile.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
void run(Context& context, const MatrixProduct<T>& p) {
  with_operands(p, [&](const auto& product) { run_tile(context, product, p.split); });
}

}  // namespace

void tile_product(Context& context, const MatrixProduct<float>& p) { run(context, p); }
void tile_product(Context& context, const MatrixProduct<BFloat16>& p) { run(context, p); }

}  // namespace graft::GRAFT_GPU
