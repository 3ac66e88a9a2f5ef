// Version 4 of attention, backward: both passes of heads.cuh on Hopper, bf16 tensors, head_dim 64 and 128, no atomics.
//
// An item of work is 128 rows of a head, 64 for each of two consumer warpgroups; one thread of a third asks TMA for tiles of the
// stream, first and second array in turns, through all query heads of a key head one after the other. A step is version 3's:
//   score = own_first first^T, dp = own_second second^T    rows by rows of the stream
//   P = exp(scale score - lse), dS = P (dp - delta)
//   d_first += dS first, and for keys d_second += P second
// That is 3 products for dq and 4 for dk and dv, 14 pairs head_dim flops, where one pass with atomics takes 5 products. What it
// teaches:
//   statistics   sums begin at -delta, and with keys as rows at -lse / scale, instead of 0: they are loaded while the tensor cores
//                finish the step before, take no registers of their own, and P is one multiplication and exp2
//   instructions a step is about as many cycles of two warps' instructions as of the tensor cores: descriptors are sums with
//                constants, and nothing is divided
//   registers    with keys as rows the scores are transposed, so P and dS are in registers what the next product takes. Own rows
//                stay in shared memory: kept in registers over the loop, ptxas of CUDA 13.0 gave their registers to P and dS
//                (seen in SASS after wrong gradients on an H200; emu cannot see that)
//   persistent   as in the forward pass: a block takes item after item, own rows and the first tiles of the next under way
//   overlap      d_first of a step runs while the next begins, dp under exp2, d_second under dS; the warpgroups, which share the
//                tensor cores, drift apart by themselves
#include "kernels/attention/wgmma_tile.cuh"

namespace graft::GRAFT_GPU {
namespace {

// 240 registers of a consumer: kStream of score and dp, kStream / 4 of each weight, kDim / 2 of each gradient.
template <int kDim, Rows kRows>
struct BackwardSizes {
  static constexpr bool kKeys = kRows == Rows::keys;
  static constexpr int kStream = 64, kSlots = 6;
};

template <int kDim, Rows kRows>
struct alignas(1024) BackwardShared {
  using Sizes = BackwardSizes<kDim, kRows>;
  WgmmaTile<kDim, kGroupRows> own_first[kItems][kConsumers], own_second[kItems][kConsumers];  // then the gradients
  WgmmaTile<kDim, Sizes::kStream> ring[Sizes::kSlots];                                        // first and second in turns
  alignas(128) RowStatistics statistics[Sizes::kSlots / 2][Sizes::kStream];
  uint64_t own_full[kItems], own_empty[kItems], full[Sizes::kSlots], empty[Sizes::kSlots];
};

struct BackwardMaps {
  TensorMap own_first, own_second, first, second, statistics;
};

// 128 rows of a head, and the tiles of the stream that they meet, of each of its heads.
template <Rows kRows>
struct OwnTile {
  static constexpr bool kKeys = kRows == Rows::keys;
  int t0, end, own, b, live, count;  // rows t0 to end, head, sample; rows that are no padding; of the stream
  Band mask;
  int first, along;

  __device__ OwnTile(const Backward<BFloat16, kRows>& in, const WorkOrder& order, int item, int stream) {
    constexpr int kOwnRows = kConsumers * kGroupRows;
    const Work work = work_of(order, item);  // the longest stream first: of the last queries, of the first keys
    t0 = (kKeys ? work.tile : order.tiles - 1 - work.tile) * kOwnRows, own = work.head, b = work.b;
    live = int(in.live(b)), end = min(t0 + kOwnRows, live);
    count = int(kKeys ? in.p.queries : key_count(in.p, in.lengths, b));
    mask = band<kRows>(in.p, count);
    const Span all = t0 < end ? Span{mask.seen(t0).begin, mask.seen(end - 1).end} : Span{0, 0};
    first = all.begin / stream, along = all.begin < all.end ? (all.end + stream - 1) / stream - first : 0;
  }
};

template <int kDim, Rows kRows>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    attention_backward_v4(Backward<BFloat16, kRows> in, WorkOrder order, const __grid_constant__ BackwardMaps maps) {
#if defined(GRAFT_SM_90A)
  using Sizes = BackwardSizes<kDim, kRows>;
  constexpr bool kKeys = Sizes::kKeys;
  constexpr int kStream = Sizes::kStream, kSlots = Sizes::kSlots, kBoxes = kDim / kBoxFeatures, kOwnRows = kConsumers * kGroupRows;
  auto& s = aligned_shared<BackwardShared<kDim, kRows>>();
  const AttentionParams& p = in.p;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kItems; ++i) {
      mbarrier_init(&s.own_full[i], 1);
      mbarrier_init(&s.own_empty[i], kConsumers * kWarpgroup / 32);
    }
    for (int i = 0; i < kSlots; ++i) {
      mbarrier_init(&s.full[i], 1);
      mbarrier_init(&s.empty[i], kConsumers * kWarpgroup / 32);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  const int warpgroup = warpgroup_index();
  if (warpgroup == kConsumers) {  // the producer
    registers_decrease<24>();
    if (int(threadIdx.x) != kConsumers * kWarpgroup) return;
    unsigned slot = 0;
    for_items(order, [&](int item, int turn) {
      const OwnTile<kRows> o(in, order, item, kStream);
      const int i = turn % kItems;
      mbarrier_wait(&s.own_empty[i], turn / kItems % 2 ^ 1);
      mbarrier_arrive_expect(&s.own_full[i], 2 * kOwnRows * kDim * 2);
      for (int w = 0; w < kConsumers; ++w)
        for (int box = 0; box < kBoxes; ++box) {
          const int feature = box * kBoxFeatures, row = o.t0 + w * kGroupRows;
          tma_load(s.own_first[i][w][box], maps.own_first, &s.own_full[i], feature, o.own, row, o.b);
          tma_load(s.own_second[i][w][box], maps.own_second, &s.own_full[i], feature, o.own, row, o.b);
        }
      for (int g = 0; g < int(in.group()); ++g) {
        const int head = kKeys ? o.own * int(p.group()) + g : o.own / int(p.group());
        for (int row = o.first * kStream; row < (o.first + o.along) * kStream; row += kStream)
          for (int second = 0; second < 2; ++second, ++slot) {
            const unsigned at = slot % kSlots;
            const bool with_statistics = kKeys && !second;
            mbarrier_wait(&s.empty[at], int(slot / kSlots % 2 ^ 1));
            mbarrier_arrive_expect(&s.full[at], kStream * kDim * 2 + (with_statistics ? kStream * int(sizeof(RowStatistics)) : 0));
            for (int box = 0; box < kBoxes; ++box)
              tma_load(s.ring[at][box], second ? maps.second : maps.first, &s.full[at], box * kBoxFeatures, head, row, o.b);
            if (with_statistics) tma_load(s.statistics[at / 2], maps.statistics, &s.full[at], 2 * row, o.b * int(p.heads) + head);
          }
      }
    });
    return;
  }

  registers_increase<240>();
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int warp_row = same_in_warp(int(threadIdx.x) % kWarpgroup / 32 * 16);
  const auto release = [&](int at) {
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&s.empty[at]);
  };
  using Tile = WgmmaTile<kDim, kStream>;
  const uint64_t ring_rows = operand_of_rows<kDim, kStream>(s.ring[0]),
                 ring_features = operand_of_features<kDim, kStream>(s.ring[0]);
  const float scale_log2 = float(p.scale) * kLog2e, lse_to_score = -1 / float(p.scale);
  unsigned pair = 0;  // of slots
  for_items(order, [&](int item, int turn) {
    const OwnTile<kRows> o(in, order, item, kStream);
    auto &own_first = s.own_first[turn % kItems][warpgroup], &own_second = s.own_second[turn % kItems][warpgroup];
    const int group0 = o.t0 + warpgroup * kGroupRows, row0 = group0 + warp_row;  // of the warpgroup, of the warp
    const WarpView view(o.mask, row0, min(row0 + 16, o.end)), group_view(o.mask, group0, min(group0 + kGroupRows, o.end));
    float d_first[1][kDim / 8][4] = {}, d_second[1][kKeys ? kDim / 8 : 1][4] = {};
    float prob[1][kStream / 8][4], ds[1][kStream / 8][4];
    uint32_t prob_weight[kStream / 16][4], ds_weight[kStream / 16][4];
    float row_lse[2] = {}, row_delta[2] = {};
    if constexpr (!kKeys) {
      const RowStatistics* const rows = in.arrays(o.b, o.own, 0).statistics;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int i = row0 + 8 * half + g;
        const RowStatistics r = i < o.end ? rows[i] : RowStatistics{INFINITY, 0};
        row_lse[half] = -r.lse * kLog2e, row_delta[half] = -r.delta;
      }
    }
    mbarrier_wait(&s.own_full[turn % kItems], turn / kItems % 2);
    const uint64_t first_rows = operand_of_rows<kDim, kGroupRows>(own_first),
                   second_rows = operand_of_rows<kDim, kGroupRows>(own_second);
    const int stream_begin = o.first * kStream, stream_end = stream_begin + o.along * kStream;
    int pending = -1;  // the slot that d_first still reads
    int s0 = stream_begin;
    for (int left = o.along * int(in.group()); left > 0; --left, s0 = s0 + kStream == stream_end ? stream_begin : s0 + kStream) {
      constexpr unsigned kPairs = kSlots / 2;
      const int at_first = same_in_warp(int(pair % kPairs * 2)), at_second = at_first + 1, parity = int(pair / kPairs % 2);
      ++pair;
      mbarrier_wait(&s.full[at_first], parity);
      if (!kKeys && left == 1) clear_padding<kDim, kStream>(s.ring[at_first], o.count < p.keys ? o.count - s0 : kStream);
      if (group_view.nothing_in(s0, kStream)) {
        wgmma_wait<0>(flat(d_first));
        if (pending >= 0) release(pending);
        pending = -1;
        release(at_first);
        mbarrier_wait(&s.full[at_second], parity);
        release(at_second);
        continue;
      }
#pragma unroll
      for (int n = 0; n < kStream / 8; ++n) {
        float4 columns;  // of two queries
        if constexpr (kKeys) columns = reinterpret_cast<const float4*>(s.statistics[at_first / 2])[4 * n + t];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (kKeys) prob[0][n][e] = (e % 2 ? columns.z : columns.x) * lse_to_score;
          ds[0][n][e] = kKeys ? -(e % 2 ? columns.w : columns.y) : row_delta[e / 2];
        }
      }
      wgmma_fence(flat(prob));
      multiply_rows<kDim, kStream>(flat(prob), first_rows, ring_rows + at_first * kNextTile<Tile>, kKeys);
      mbarrier_wait(&s.full[at_second], parity);
      wgmma_fence(flat(ds));
      multiply_rows<kDim, kStream>(flat(ds), second_rows, ring_rows + at_second * kNextTile<Tile>, true);
      wgmma_wait<1>(flat(prob));
      if (pending >= 0) release(pending);
      pending = at_first;
#pragma unroll
      for (int n = 0; n < kStream / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) prob[0][n][e] = exp2_fast(fmaf(prob[0][n][e], scale_log2, kKeys ? 0 : row_lse[e / 2]));
      const bool everything = view.everything_in(s0, kStream);
      const auto hide = [&](float(&x)[1][kStream / 8][4]) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Span seen = o.mask.seen(row0 + 8 * half + g);
          const int from = seen.begin - s0 - 2 * t, to = seen.end - s0 - 2 * t;
#pragma unroll
          for (int n = 0; n < kStream / 8; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
              if (8 * n + e < from || 8 * n + e >= to) x[0][n][2 * half + e] = 0;
        }
      };
      if (!everything) hide(prob);
      if constexpr (kKeys) {
        round_weights<kStream>(prob_weight, prob);
        wgmma_fence(flat(d_second));
        add_weighted_rows<kStream>(flat(d_second), prob_weight, ring_features + at_second * kNextTile<Tile>);
        wgmma_wait<1>(flat(ds));
      } else {
        wgmma_wait<0>(flat(ds));
        release(at_second);
      }
      if (!everything) hide(ds);  // 0 NaN is not 0
#pragma unroll
      for (int n = 0; n < kStream / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) ds[0][n][e] *= prob[0][n][e];
      round_weights<kStream>(ds_weight, ds);
      wgmma_fence(flat(d_first));
      add_weighted_rows<kStream>(flat(d_first), ds_weight, ring_features + at_first * kNextTile<Tile>);
      if constexpr (kKeys) {
        wgmma_wait<1>(flat(d_second));
        release(at_second);
      }
    }
    wgmma_wait<0>(flat(d_first));
    if (pending >= 0) release(pending);

    named_barrier_sync(kOwn + warpgroup, kWarpgroup);  // own rows, which all four warps multiplied, are overwritten
    const int length = int(in.length());
    const auto live_row = [&](int e) { return row0 + e / 2 * 8 + g < o.live; };
    MmaTile<kDim>::template store<1>(in.d_first(o.b, o.own), group0, length, own_first[0][0], warp_row,
                                     [&](int, int n, int e) { return live_row(e) ? d_first[0][n][e] * float(p.scale) : 0; });
    if constexpr (kKeys)
      MmaTile<kDim>::template store<1>(in.d_second(o.b, o.own), group0, length, own_second[0][0], warp_row,
                                       [&](int, int n, int e) { return live_row(e) ? d_second[0][n][e] : 0; });
    fence_async();  // TMA overwrites them
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&s.own_empty[turn % kItems]);
  });
#endif
}

TensorMap statistics_map(const RowStatistics* rows, const AttentionParams& p, int queries) {
  const int64_t padded = padded_queries(p);
  return tensor_map(TiledTensor{.data = rows,
                                .dtype = DType::f32,
                                .rank = 2,
                                .size = {2 * padded, p.batch * p.heads},
                                .stride = {padded * int64_t(sizeof(RowStatistics))},
                                .box = {2 * queries, 1}});
}

template <int kDim, Rows kRows>
void run(Context& context, const BackwardProblem<BFloat16>& problem) {
  const Backward<BFloat16, kRows> in{problem};
  const AttentionParams& p = in.p;
  constexpr int kStream = BackwardSizes<kDim, kRows>::kStream;
  const WorkOrder order = work_order(p, in.length(), in.heads(), kRows == Rows::keys ? p.queries * p.group() : p.keys);
  const auto maps = [&](int query_rows, int key_rows) {
    const TensorMap q = query_rows_of(in.q, p, p.q_step(), query_rows), dy = query_rows_of(in.dy, p, p.y_step(), query_rows),
                    k = key_rows_of(in.k, p, key_rows), v = key_rows_of(in.v, p, key_rows),
                    rows = statistics_map(in.rows, p, kStream);
    return kRows == Rows::keys ? BackwardMaps{k, v, q, dy, rows} : BackwardMaps{q, dy, k, v, rows};
  };
  launch(attention_backward_v4<kDim, kRows>, blocks_for(order), kWgmmaThreads, aligned_shared_bytes<BackwardShared<kDim, kRows>>,
         context, in, order, kRows == Rows::keys ? maps(kStream, kGroupRows) : maps(kGroupRows, kStream));
}
template <int kDim>
void run(Context& context, const BackwardProblem<BFloat16>& in) {
  run<kDim, Rows::queries>(context, in);
  run<kDim, Rows::keys>(context, in);
}

}  // namespace

// TMA knows no empty tensor.
bool supports_wgmma(const BackwardProblem<BFloat16>& in) {
  const AttentionParams& p = in.p;
  return (p.head_dim == 64 || p.head_dim == 128) && p.batch > 0 && p.queries > 0 && p.keys > 0 && supports_mma(in) &&
         device_is_hopper();
}

void wgmma_backward(Context& context, const BackwardProblem<BFloat16>& in) {
  if (in.p.head_dim == 64) run<64>(context, in);
  else run<128>(context, in);
}

}  // namespace graft::GRAFT_GPU
