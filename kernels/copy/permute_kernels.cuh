// y[i0, i1, ...] = x[sum of i_d stride_d]; f32 and bf16.
//
// v1 plain    one thread an element of y: writes are whole lines, reads are scattered when the last axis moves; accepts all
// v2 tiles    where the last axis moves: tiles of 32 x 32 go through shared memory, so that reads are whole lines as well
// v3 vectors  where the last axis stays: one thread 16 bytes of it. Addresses and the last axis in units of 16 bytes
// Bytes an element by v2 and v3: 8 in f32, 4 in bf16.
#include <type_traits>

#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/copy/permute.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kAxes = 6, kLast = kAxes - 1, kTile = 32;

struct PermuteAxes {
  int64_t dims[kAxes], strides[kAxes];
  int64_t size = 1;
  explicit PermuteAxes(const PermuteParams& p) {
    for (size_t d = 0; d < kAxes; ++d) dims[d] = p.dims[d], strides[d] = p.strides[d], size *= p.dims[d];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) permute_v1_v3(T* y, const T* x, PermuteAxes axes) {
  const int64_t i = global_thread();
  if (i >= axes.size) return;
  int64_t rest = i, from = 0;
#pragma unroll
  for (int d = kLast; d >= 0; --d) {
    from += rest % axes.dims[d] * axes.strides[d];
    rest /= axes.dims[d];
  }
  y[i] = x[from];
}

// The axis of y along which x is adjacent; kLast where the last axis stays, -1 where there is none (all of size 1).
int adjacent_axis(const PermuteParams& p) {
  for (int d = kLast; d >= 0; --d)
    if (p.strides[size_t(d)] == 1 && p.dims[size_t(d)] > 1) return d;
  return -1;
}

// A block moves the tile [rows of y's axis `down`] x [columns of y's last axis] of one setting of the other axes: place by place
// along each axis, one on an axis in steps of so many elements of x and of y; the two axes of a tile in places of 32.
struct PermuteTiles {
  unsigned places[kAxes];
  int64_t from[kAxes], to[kAxes];
  int64_t rows, columns, blocks = 1, x_stride, y_stride = 1;
  int down;

  PermuteTiles(const PermuteParams& p, int down_axis)
      : rows(p.dims[size_t(down_axis)]), columns(p.dims[kLast]), x_stride(p.strides[kLast]), down(down_axis) {
    int64_t step = 1;
    for (int d = kLast; d >= 0; --d) {
      const int64_t size = p.dims[size_t(d)], place = d == kLast || d == down ? kTile : 1;
      places[d] = unsigned(ceil_div(size, place)), from[d] = place * p.strides[size_t(d)], to[d] = place * step;
      blocks *= places[d];
      if (d == down) y_stride = step;
      step *= size;
    }
  }
};
template <class T>
__global__ void __launch_bounds__(kThreads) permute_v2(T* y, const T* x, PermuteTiles tiles) {
  struct Smem {
    T v[kTile][kTile + 2 / int(sizeof(T) / 2)];  // one word more: neither side hits one bank twice
  };
  auto& s = shared<Smem>();
  unsigned block = blockIdx.x;
  int64_t from = 0, to = 0, rows = tiles.rows, columns = tiles.columns;
#pragma unroll
  for (int d = kLast; d >= 0; --d) {
    const unsigned at = block % tiles.places[d];
    block /= tiles.places[d];
    if (d == kLast) columns -= int64_t{kTile} * at;
    if (d == tiles.down) rows -= int64_t{kTile} * at;
    from += at * tiles.from[d];
    to += at * tiles.to[d];
  }
  const int lane = int(threadIdx.x) % kTile, warp = int(threadIdx.x) / kTile;
  for (int c = warp; c < kTile; c += kThreads / kTile)
    if (c < columns && lane < rows) s.v[c][lane] = x[from + c * tiles.x_stride + lane];
  __syncthreads();
  for (int r = warp; r < kTile; r += kThreads / kTile)
    if (r < rows && lane < columns) y[to + r * tiles.y_stride + lane] = s.v[lane][r];
}

template <class T>
void run_v1(Context& context, T* y, const T* x, const PermuteParams& p) {
  const PermuteAxes axes(p);
  launch_threads(context, axes.size, permute_v1_v3<T>, y, x, axes);
}
template <class T>
bool supports_v2(T*, const T*, const PermuteParams& p) {
  const int down = adjacent_axis(p);
  return down >= 0 && down < kLast && p.dims[size_t(down)] >= 8 && p.dims[kLast] >= 8;  // else most of a tile is empty
}
template <class T>
void run_v2(Context& context, T* y, const T* x, const PermuteParams& p) {
  const PermuteTiles tiles(p, adjacent_axis(p));
  using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;  // shared memory is not constructed
  launch_blocks(context, tiles.blocks, kThreads, permute_v2<Bits>, reinterpret_cast<Bits*>(y), reinterpret_cast<const Bits*>(x),
                tiles);
}
template <class T>
bool supports_v3(T* y, const T* x, const PermuteParams& p) {
  for (size_t d = 0; d < kLast; ++d)
    if (p.dims[d] > 1 && p.strides[d] % kVector<T> != 0) return false;
  return adjacent_axis(p) == kLast && p.dims[kLast] % kVector<T> == 0 && aligned_16(y, x);
}
template <class T>
void run_v3(Context& context, T* y, const T* x, const PermuteParams& p) {
  PermuteParams q = p;
  for (size_t d = 0; d < kLast; ++d) q.strides[d] /= kVector<T>;
  q.dims[kLast] /= kVector<T>;
  const PermuteAxes axes(q);
  launch_threads(context, axes.size, permute_v1_v3<uint4>, reinterpret_cast<uint4*>(y), reinterpret_cast<const uint4*>(x), axes);
}

template <class T>
constexpr Rung<PermuteForward<T>> kPermute[] = {
    {{1, "plain"}, accepts_all, run_v1<T>},
    {{2, "tiles"}, supports_v2<T>, run_v2<T>},
    {{3, "vectors"}, supports_v3<T>, run_v3<T>},
};

}  // namespace

template <class T>
void permute_forward(Context& context, T* y, const T* x, const PermuteParams& p) {
  run_version(Op::permute, kPermute<T>, context, y, x, p);
}

GRAFT_GPU_KERNEL(permute, forward, PermuteForward, kPermute);

}  // namespace graft::GRAFT_GPU
