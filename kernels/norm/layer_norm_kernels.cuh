// y = (x - mean) rstd weight + bias over each row; f32 and bf16, statistics and parameters f32.
//
// v1 block      one block a row, the values from cache the second and third time (group_norm.cuh); accepts all
// v2 registers  the row stays in the registers of a warp or a block (kernels/common/rows.cuh): one read. Backward gives dx and,
//               from the same registers, each team's share of dweight and dbias over all its rows; a second launch adds the shares
//               up in their order. Rows in units of 16 bytes, up to 32,768 columns forward and 8,192 backward
//
// Bytes an element by v2: forward 8 in f32, 4 in bf16; backward 12 and 6, 16 and 8 with another gradient of x, and 8 a column and
// team for the shares.
#include "kernels/common/registry.h"
#include "kernels/common/rows.cuh"
#include "kernels/common/versions.h"
#include "kernels/norm/group_norm.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kForwardValues = 32, kBackwardValues = 16;
// Backward keeps four numbers a column: x, dy and both shares. More than 512 threads would have too few registers.
constexpr int64_t kBackwardColumns = 512 * kBackwardValues;
// Teams that share the rows of a backward pass: a few waves of blocks, whatever the device, so that bits do not depend on it.
constexpr int64_t kTeams = 528;

template <class Team, int kValues, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows)
    layer_norm_v2(T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias, LayerNormParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;  // of a warp all or none
  constexpr int kWidth = kVector<T>;
  PackedRow<Team, T, kValues> row;
  row.read(x + r * p.channels, p.channels);
  const float n = float(p.channels);
  float sum = 0, squares = 0;
  row.each(p.channels, [&](const float(&v)[kWidth], int) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum += v[j];
  });
  const float m = Team::sum(sum) / n;
  row.each(p.channels, [&](const float(&v)[kWidth], int) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) squares += (v[j] - m) * (v[j] - m);
  });
  const float s = 1.0f / sqrtf(Team::sum(squares) / n + float(p.eps));
  if (Team::thread() == 0) mean[r] = m, rstd[r] = s;
  row.each(p.channels, [&](float(&v)[kWidth], int c) {
    float w[kWidth], b[kWidth];
    if (weight) load<kWidth>(w, weight + c);
    if (bias) load<kWidth>(b, bias + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = (v[j] - m) * s * (weight ? w[j] : 1.0f) + (bias ? b[j] : 0.0f);
    store<kWidth>(y + r * p.channels + c, v);
  });
}

// Rows team, team + teams, ..: dx (null: not needed), and share[team][2][C] of dweight and dbias (null: not needed).
template <class Team, int kValues, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows)
    layer_norm_backward_v2(T* dx, float* share, const T* dy, const T* x, const float* weight, const float* mean, const float* rstd,
                           const T* others, LayerNormParams p) {
  using Row = RowRegisters<Team, T, kValues>;
  constexpr int kWidth = Row::kWidth;
  float dweight[Row::kPieces][kWidth] = {}, dbias[Row::kPieces][kWidth] = {};
  const float n = float(p.channels);
  for (int64_t r = Team::row(); r < p.rows; r += Team::rows()) {
    Row g, xhat;
    g.read(dy + r * p.channels, p.channels, 0);
    xhat.read(x + r * p.channels, p.channels, 0);
    const float m = mean[r], s = rstd[r];
    float sum_g = 0, sum_gx = 0;
#pragma unroll
    for (int i = 0; i < Row::kPieces; ++i) {
      float w[kWidth];
      const int64_t c = Row::column(i);
      if (weight && c < p.channels) load<kWidth>(w, weight + c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        xhat.v[i][j] = (xhat.v[i][j] - m) * s;
        dweight[i][j] += g.v[i][j] * xhat.v[i][j];
        dbias[i][j] += g.v[i][j];
        if (weight && c < p.channels) g.v[i][j] *= w[j];
        sum_g += g.v[i][j];
        sum_gx += g.v[i][j] * xhat.v[i][j];
      }
    }
    if (!dx) continue;
    const float mean_g = Team::sum(sum_g) / n, mean_gx = Team::sum(sum_gx) / n;
    g.each([&](float& v, int i, int j) { v = s * (v - mean_g - xhat.v[i][j] * mean_gx); });
    if (others) {
      xhat.read(others + r * p.channels, p.channels, 0);
      g.each([&](float& v, int i, int j) { v += xhat.v[i][j]; });
    }
    g.write(dx + r * p.channels, p.channels);
  }
  if (!share) return;
  share += 2 * Team::row() * p.channels;
#pragma unroll
  for (int i = 0; i < Row::kPieces; ++i) {
    const int64_t c = Row::column(i);
    if (c >= p.channels) continue;
    store<kWidth>(share + c, dweight[i]);
    store<kWidth>(share + p.channels + c, dbias[i]);
  }
}

// The same of rows of at most 1024 columns, a warp a row: no barrier in the loop. The row waits as it lies in memory, its values
// are computed twice, and the warps of a block add up their shares: share[block][2][C].
constexpr int kBackwardWarps = 8;
template <int kValues, class T>
__global__ void __launch_bounds__(32 * kBackwardWarps, kValues <= 24 ? 2 : 1)
    layer_norm_backward_warps(T* dx, float* share, const T* dy, const T* x, const float* weight, const float* mean,
                              const float* rstd, const T* others, LayerNormParams p) {
  constexpr int kWidth = kVector<T>, kPieces = kValues / kWidth;
  struct Smem {
    float sum[2][kWidth][32 * kPieces + 32 / kWidth];  // element j of all vectors side by side: lanes meet all banks, both ways
  };
  auto& smem = shared<Smem>();
  const int lane = int(threadIdx.x), warp = int(threadIdx.y), channels = int(p.channels);
  float dweight[kPieces][kWidth] = {}, dbias[kPieces][kWidth] = {};
  const float n = float(channels);
  const auto column = [&](int i) { return (32 * i + lane) * kWidth; };
  for (int64_t r = int64_t(blockIdx.x) * kBackwardWarps + warp; r < p.rows; r += int64_t(gridDim.x) * kBackwardWarps) {
    uint4 gradients[kPieces], values[kPieces];
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (column(i) >= channels) break;
      gradients[i] = load_packed(dy + r * channels + column(i));
      values[i] = load_packed(x + r * channels + column(i));
    }
    const float m = mean[r], s = rstd[r];
    // f(g weight, xhat, g, i, j) of the values of piece i
    const auto each = [&](int i, auto f) {
      float g[kWidth], v[kWidth], w[kWidth];
      unpack<T>(g, gradients[i]);
      unpack<T>(v, values[i]);
      if (weight) load<kWidth>(w, weight + column(i));
#pragma unroll
      for (int j = 0; j < kWidth; ++j) f(weight ? g[j] * w[j] : g[j], (v[j] - m) * s, g[j], j);
    };
    float sum_g = 0, sum_gx = 0;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (column(i) >= channels) break;
      each(i, [&](float gw, float xhat, float g, int j) {
        dweight[i][j] = fmaf(g, xhat, dweight[i][j]);
        dbias[i][j] += g;
        sum_g += gw;
        sum_gx = fmaf(gw, xhat, sum_gx);
      });
    }
    if (!dx) continue;
    const auto other = [&](int i) {
      return others && column(i) < channels ? load_packed(others + r * channels + column(i)) : make_uint4(0, 0, 0, 0);
    };
    constexpr bool kEarly = sizeof(T) == 2;  // under way while the sums are; f32 has no registers left for it
    uint4 added[kEarly ? kPieces : 1];
#pragma unroll
    for (int i = 0; kEarly && i < kPieces; ++i) added[i] = other(i);
    const float mean_g = warp_sum(sum_g) / n, mean_gx = warp_sum(sum_gx) / n;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (column(i) >= channels) break;
      float out[kWidth], more[kWidth];
      unpack<T>(more, kEarly ? added[i] : other(i));
      each(i, [&](float gw, float xhat, float, int j) { out[j] = s * (gw - mean_g - xhat * mean_gx) + more[j]; });
      store<kWidth>(dx + r * channels + column(i), out);
    }
  }
  if (!share) return;
  for (int turn = 0; turn < kBackwardWarps; ++turn) {
    if (turn == warp) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i)
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          float *const w = &smem.sum[0][j][32 * i + lane], *const b = &smem.sum[1][j][32 * i + lane];
          *w = turn == 0 ? dweight[i][j] : *w + dweight[i][j];
          *b = turn == 0 ? dbias[i][j] : *b + dbias[i][j];
        }
    }
    __syncthreads();
  }
  share += 2 * blockIdx.x * p.channels;
  for (int c = 32 * warp + lane; c < channels; c += 32 * kBackwardWarps)
    share[c] = smem.sum[0][c % kWidth][c / kWidth], share[channels + c] = smem.sum[1][c % kWidth][c / kWidth];
}

GroupNormParams as_groups(const LayerNormParams& p) { return {p.rows, 1, p.channels, 1, p.eps}; }

template <class T>
struct Forward {
  static void v1(Context& context, T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias,
                 const LayerNormParams& p) {
    run_group_norm(context, y, mean, rstd, x, weight, bias, as_groups(p));
  }
  static bool supports_v2(T* y, float*, float*, const T* x, const float* weight, const float* bias, const LayerNormParams& p) {
    return aligned_16(y, x, weight, bias) && rows_fit<kForwardValues, T>(p.channels);
  }
  static void v2(Context& context, T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias,
                 const LayerNormParams& p) {
    with_row_team<kForwardValues>(p.channels, [&]<class Team, int kValues>() {
      launch_rows<Team>(context, p.rows, layer_norm_v2<Team, kValues, T>, y, mean, rstd, x, weight, bias, p);
    });
  }
};
template <class T>
constexpr Rung<LayerNormForward<T>> kForward[] = {
    {{1, "block"}, accepts_all, Forward<T>::v1},
    {{2, "registers"}, Forward<T>::supports_v2, Forward<T>::v2},
};

template <class T>
struct Backward {
  static void v1(Context& context, T* dx, float* dweight, float* dbias, const T* dy, const T* x, const float* weight,
                 const float* mean, const float* rstd, const T* others, const LayerNormParams& p) {
    run_group_norm_backward(context, dx, dweight, dbias, dy, x, weight, mean, rstd, others, as_groups(p));
  }
  static bool supports_v2(T* dx, float*, float*, const T* dy, const T* x, const float* weight, const float*, const float*,
                          const T* others, const LayerNormParams& p) {
    return aligned_16(dx, dy, x, weight, others) && p.channels % kVector<T> == 0 && p.channels <= kBackwardColumns;
  }
  template <class Team, int kValues>
  static void run_v2(Context& context, T* dx, float* dweight, float* dbias, const T* dy, const T* x, const float* weight,
                     const float* mean, const float* rstd, const T* others, const LayerNormParams& p) {
    const int64_t blocks = std::min(ceil_div(p.rows, Team::kRows), kTeams / Team::kRows), teams = blocks * Team::kRows;
    const bool shares = dweight || dbias;
    const auto share = device_scratch<float>(context, size_t(shares ? teams * 2 * p.channels : 0));
    launch_rows<Team>(context, teams, layer_norm_backward_v2<Team, kValues, T>, dx, shares ? share.get() : nullptr, dy, x, weight,
                      mean, rstd, others, p);
    if (shares)
      sum_columns(context, 1, teams, p.channels, PartialTerm<2>{share.get(), teams, p.channels},
                  StoreGroupParameters{dweight, dbias});
  }
  template <int kValues>
  static void run_warps(Context& context, T* dx, float* dweight, float* dbias, const T* dy, const T* x, const float* weight,
                        const float* mean, const float* rstd, const T* others, const LayerNormParams& p) {
    constexpr int64_t kBlocks = 264;  // two a multiprocessor of an H100
    const int64_t blocks = std::min(ceil_div(p.rows, kBackwardWarps), kBlocks);
    const bool shares = dweight || dbias;
    const auto share = device_scratch<float>(context, size_t(shares ? blocks * 2 * p.channels : 0));
    if (blocks > 0)
      launch(layer_norm_backward_warps<kValues, T>, dim3(unsigned(blocks)), dim3(32, kBackwardWarps), 0, context, dx,
             shares ? share.get() : nullptr, dy, x, weight, mean, rstd, others, p);
    if (shares)
      sum_columns(context, 1, blocks, p.channels, PartialTerm<2>{share.get(), blocks, p.channels},
                  StoreGroupParameters{dweight, dbias});
  }
  static void v2(Context& context, T* dx, float* dweight, float* dbias, const T* dy, const T* x, const float* weight,
                 const float* mean, const float* rstd, const T* others, const LayerNormParams& p) {
    const auto run = [&]<class Team, int kValues>() {
      run_v2<Team, kValues>(context, dx, dweight, dbias, dy, x, weight, mean, rstd, others, p);
    };
    const auto warps = [&]<int kValues>() {
      run_warps<kValues>(context, dx, dweight, dbias, dy, x, weight, mean, rstd, others, p);
    };
    if (p.channels <= 32 * 8) warps.template operator()<8>();
    else if (p.channels <= 32 * 16) warps.template operator()<16>();
    else if (p.channels <= 32 * 24) warps.template operator()<24>();
    else if (p.channels <= 32 * 32) warps.template operator()<32>();
    else if (p.channels <= 128 * kBackwardValues) run.template operator()<Block<128>, kBackwardValues>();
    else run.template operator()<Block<512>, kBackwardValues>();
  }
};
template <class T>
constexpr Rung<LayerNormBackward<T>> kBackward[] = {
    {{1, "block"}, accepts_all, Backward<T>::v1},
    {{2, "registers"}, Backward<T>::supports_v2, Backward<T>::v2},
};

}  // namespace

template <class T>
void layer_norm_forward(Context& context, T* y, Accumulate<T>* mean, Accumulate<T>* rstd, const T* x, const Accumulate<T>* weight,
                        const Accumulate<T>* bias, const LayerNormParams& p) {
  run_version(Op::layer_norm, kForward<T>, context, y, mean, rstd, x, weight, bias, p);
}
template <class T>
void layer_norm_backward(Context& context, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, const T* dy, const T* x,
                         const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* rstd, const T* others,
                         const LayerNormParams& p) {
  run_version(Op::layer_norm, kBackward<T>, context, dx, dweight, dbias, dy, x, weight, mean, rstd, others, p);
}

GRAFT_GPU_KERNEL(layer_norm, forward, LayerNormForward, kForward);
GRAFT_GPU_KERNEL(layer_norm, backward, LayerNormBackward, kBackward);

}  // namespace graft::GRAFT_GPU
