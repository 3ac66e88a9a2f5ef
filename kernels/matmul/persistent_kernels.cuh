// Version 8 of matmul and linear: persistent_product.cuh. Lines of a and b that are not aligned are copied.
#include "kernels/matmul/persistent_product.cuh"
#include "kernels/reduce/vector_columns.cuh"

namespace graft::GRAFT_GPU {

bool supports_persistent(const MatrixProduct<BFloat16>& p) { return fits_persistent(p); }
void persistent_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&](const auto& product) {
      with_statistics(context, product, kTileM, [&](const auto& q) {
        if (!p.sums_of_a) return run_v8(context, q);
        with_tile(p.shape, 256, [&]<int kTileN>() {
          const int64_t columns = ceil_div(q.n, kTileN);
          const auto sums = device_scratch<float>(context, size_t(columns * q.m));
          auto r = q;
          r.sums_of_a = sums.get();
          run_v8<kTileN>(context, r);
          sum_vector_columns(context, p.sums_of_a, columns, q.m, PlainVector<1, float>{sums.get()});
        });
      });
    });
  });
}

}  // namespace graft::GRAFT_GPU
