// Version 8 of matmul and linear: persistent.cuh with tiles as they lie in memory. Lines of a and b that are not aligned are
// copied, such of c are stored without TMA, two bytes a lane. A residual comes by TMA too: tiles of 192 columns at most, as with
// statistics.
#include "kernels/matmul/persistent.cuh"
#include "kernels/reduce/vector_columns.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <Along kA, Along kB, int kTileN>
struct AlignedMaps {
  TensorMap a, b, c, residual;
  // Of a linear layer, and of the input gradient of a convolution, where the boxes of a warp hold its part of a tile.
  static constexpr bool kResidual = kA == Along::k && kBoxesOf<kTileN> == kTileN / 64;

  __device__ void load_a(BFloat16* tile, uint64_t* full, int m, int k, int g) const {
    load_tile<kTileM>(Lines<BFloat16, kA>{}, tile, m, k, g, a, full);
  }
  __device__ void load_b(BFloat16* tile, uint64_t* full, int n, int k, int g, int rank) const {
    load_half<kB, kTileN>(tile, n, k, g, rank, [&](BFloat16* to, auto... at) { tma_load_multicast(to, b, full, 3, at...); });
  }
  template <class P>
  __device__ bool stores(const P& p) const {
    return p.vectors;
  }
  __device__ void store(const BFloat16* box, int n, int m, int slice, int g) const { tma_store(c, box, n, m + 16 * slice, g); }
  __device__ void load_residual(BFloat16* box, uint64_t* full, int n, int m, int slice, int g) const {
    tma_load(box, residual, full, n, m + 16 * slice, g);
  }
  static __device__ int row(int m, int slice, int i) { return m + 16 * slice + i; }
};

template <int kTileN, class P>
void run_v8(Context& context, const P& p, const MatmulParams& shape) {
  using Maps = AlignedMaps<decltype(p.a)::kAlong, decltype(p.b)::kAlong, kTileN>;
  const auto like_c = [&](const BFloat16* x) {
    return p.vectors && x
               ? tensor_map(TiledTensor{
                     x, DType::bf16, 3, {p.n, p.m, p.groups}, {2 * p.row.line, 2 * p.row.group}, {64, 16, 1}, Swizzle::b128})
               : TensorMap{};
  };
  run_persistent<kTileN>(context, p, shape,
                         Maps{operand_map<kTileM>(p.a, p.m, p.k, p.groups), half_map<kTileN>(p.b, p.n, p.k, p.groups), like_c(p.c),
                              like_c(Maps::kResidual ? p.residual : nullptr)});
}

}  // namespace

bool supports_persistent(const MatrixProduct<BFloat16>& p) { return fits_persistent(p); }
void persistent_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&](const auto& product) {
      with_statistics(context, product, kTileM, [&](const auto& q) {
        with_tile(p.shape, p.residual || p.statistics ? 192 : 256, [&]<int kTileN>() {
          if (!p.sums_of_a) return run_v8<kTileN>(context, q, p.shape);
          const int64_t columns = ceil_div(q.n, kTileN);
          const auto sums = device_scratch<float>(context, size_t(columns * q.m));
          auto r = q;
          r.sums_of_a = sums.get();
          run_v8<kTileN>(context, r, p.shape);
          sum_vector_columns(context, p.sums_of_a, columns, q.m, PlainVector<1, float>{sums.get()});
        });
      });
    });
  });
}

}  // namespace graft::GRAFT_GPU
