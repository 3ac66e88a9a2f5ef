// Version 4 of attention, forward: FlashAttention-3 (Shah et al. 2024) on Hopper, bf16 tensors, head_dim 64 and 128.
//
// A block owns 128 queries, 64 for each of two consumer warpgroups; a third warpgroup is there for one thread that asks TMA for
// tiles of 128 rows of k and v. What it teaches:
//   ring         four slots of a tile each; a mbarrier says that a tile is full, another that both consumers are done with it. The
//                producer never computes and gives its registers away, the consumers never compute an address of global memory
//   wgmma        q k^T has both operands in shared memory, as TMA's swizzle laid them; P v takes P from registers, rounded to bf16
//                (its fragments are those of the scores), and v with its features contiguous
//   overlap      the scores of the next tile and P v of this one are issued together: the softmax of the next runs while P v does
//   ping-pong    two named barriers hand the tensor cores from one warpgroup to the other: one multiplies while the other is at
//                its softmax, which at head_dim 64 takes as long (one exp2 for 4 x 64 products)
// Tiles are taken from the last to the first, so that masks are met before the main loop is in swing. Padding that lies in a
// tile beside keys is replaced by zeros in shared memory: P is zero there, but 0 NaN is not.
#include "kernels/attention/wgmma_tile.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kKeys = 128, kSlots = 4;  // of a tile; of the ring

template <int kDim>
struct alignas(1024) Smem {
  WgmmaTile<kDim, kGroupRows> q[kConsumers];
  WgmmaTile<kDim, kKeys> ring[kSlots];  // k, then k and v in turns: as they are used
  uint64_t q_full, full[kSlots], empty[kSlots];
};

template <int kDim>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    attention_forward_v4(ForwardProblem<BFloat16> in, WorkOrder order, const __grid_constant__ TensorMap map_q,
                         const __grid_constant__ TensorMap map_k, const __grid_constant__ TensorMap map_v) {
#if defined(GRAFT_SM_90A)
  constexpr int kBoxes = kDim / kBoxFeatures, kTileBytes = kDim * kKeys * 2, kRows = kConsumers * kGroupRows;
  auto& s = aligned_shared<Smem<kDim>>();
  const AttentionParams& p = in.p;
  const Work work = work_of_block(order);
  const int i0 = (order.tiles - 1 - work.tile) * kRows, h = work.head, b = work.b;
  const int count = int(key_count(p, in.lengths, b));
  const Band mask = band<Rows::queries>(p, count);
  const int end = min(i0 + kRows, int(p.queries));
  const Span all{mask.seen(i0).begin, mask.seen(end - 1).end};
  const int first = all.begin / kKeys, steps = all.begin < all.end ? (all.end + kKeys - 1) / kKeys - first : 0;

  if (threadIdx.x == 0) {
    mbarrier_init(&s.q_full, 1);
    for (int i = 0; i < kSlots; ++i) {
      mbarrier_init(&s.full[i], 1);
      mbarrier_init(&s.empty[i], kConsumers * kWarpgroup / 32);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  const int warpgroup = int(threadIdx.x) / kWarpgroup;
  if (warpgroup == kConsumers) {  // the producer
    registers_decrease<24>();
    if (int(threadIdx.x) != kConsumers * kWarpgroup || steps == 0) return;
    const int kv = h / int(p.group());
    mbarrier_arrive_expect(&s.q_full, kConsumers * kGroupRows * kDim * 2);
    for (int w = 0; w < kConsumers; ++w)
      for (int box = 0; box < kBoxes; ++box) tma_load(s.q[w][box], map_q, &s.q_full, box * kBoxFeatures, h, i0 + w * kGroupRows, b);
    int slot = 0;
    const auto load = [&](const TensorMap& map, int tile) {
      const int at = slot % kSlots;
      mbarrier_wait(&s.empty[at], slot / kSlots % 2 ^ 1);
      mbarrier_arrive_expect(&s.full[at], kTileBytes);
      for (int box = 0; box < kBoxes; ++box) tma_load(s.ring[at][box], map, &s.full[at], box * kBoxFeatures, kv, tile * kKeys, b);
      ++slot;
    };
    load(map_k, first + steps - 1);
    for (int tile = first + steps - 1; tile > first; --tile) {
      load(map_k, tile - 1);
      load(map_v, tile);
    }
    load(map_v, first);
    return;
  }

  registers_increase<240>();
  const int thread = int(threadIdx.x) % kWarpgroup, lane = thread % 32, g = lane / 4, t = lane % 4, warp_row = thread / 32 * 16;
  const int row0 = i0 + warpgroup * kGroupRows + warp_row;  // of the warp
  const WarpView view(mask, row0, min(row0 + 16, end));
  int slot = 0;
  const auto take = [&] {  // the next slot of the ring, full
    const int at = slot % kSlots;
    mbarrier_wait(&s.full[at], slot / kSlots % 2);
    ++slot;
    return at;
  };
  const auto release = [&](int at) {
    if (lane == 0) mbarrier_arrive(&s.empty[at]);
  };

  const float scale_log2 = float(p.scale) * kLog2e;
  OnlineSoftmax<1> softmax;
  float acc[1][kDim / 8][4] = {}, score[1][kKeys / 8][4], faded[1][2];
  uint32_t prob[kKeys / 16][4];
  const auto hide = [&](int j0) {  // what a mask hides
    if (view.everything_in(j0, kKeys)) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Span seen = mask.seen(row0 + 8 * half + g);
      const int from = seen.begin - j0 - 2 * t, to = seen.end - j0 - 2 * t;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          if (8 * n + e < from || 8 * n + e >= to) score[0][n][2 * half + e] = -INFINITY;
    }
  };

  if (steps > 0) {
    const auto& q = s.q[warpgroup];
    const int padding = count < p.keys ? count - (first + steps - 1) * kKeys : kKeys;       // where it begins in the first tile
    if (warpgroup == 1 && steps > 1) named_barrier_arrive(kTurn, kConsumers * kWarpgroup);  // the first turn is the other's
    mbarrier_wait(&s.q_full, 0);
    const int k_slot = take();
    wgmma_fence(flat(score));
    multiply_rows<kDim, kKeys>(flat(score), q, s.ring[k_slot]);
    wgmma_wait<0>(flat(score));
    release(k_slot);
    hide((first + steps - 1) * kKeys);
    softmax.update(score, faded, scale_log2);
    round_weights<kKeys>(prob, score);
    for (int tile = first + steps - 2; tile >= first; --tile) {
      const int next_k = take(), v_slot = take();
      if (tile == first + steps - 2) clear_padding<kDim, kKeys>(s.ring[v_slot], padding);
      named_barrier_sync(kTurn + warpgroup, kConsumers * kWarpgroup);
      wgmma_fence(flat(score), flat(acc));
      multiply_rows<kDim, kKeys>(flat(score), q, s.ring[next_k]);
      add_weighted_rows<kDim, kKeys>(flat(acc), prob, s.ring[v_slot]);
      if (warpgroup == 0 || tile > first) named_barrier_arrive(kTurn + 1 - warpgroup, kConsumers * kWarpgroup);
      wgmma_wait<1>(flat(score));
      release(next_k);
      hide(tile * kKeys);
      const bool grown = softmax.update(score, faded, scale_log2);
      wgmma_wait<0>(flat(acc));
      release(v_slot);
      if (__any_sync(kFullWarp, grown)) {
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) acc[0][n][e] *= faded[0][e / 2];
      }
      round_weights<kKeys>(prob, score);
    }
    const int v_slot = take();
    if (steps == 1) clear_padding<kDim, kKeys>(s.ring[v_slot], padding);
    wgmma_fence(flat(acc));
    add_weighted_rows<kDim, kKeys>(flat(acc), prob, s.ring[v_slot]);
    wgmma_wait<0>(flat(acc));
  }

  float by[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = row0 + 8 * half + g;
    const Span seen = mask.seen(i);
    const RowResult row = softmax.finish(0, half, float(p.scale), seen.begin == seen.end);
    by[half] = row.by;
    if (t == 0 && i < end) in.lse[(int64_t(b) * p.heads + h) * p.queries + i] = row.lse;
  }
  named_barrier_sync(kOwn + warpgroup, kWarpgroup);  // the queries, which all four warps multiplied, are overwritten
  MmaTile<kDim>::template store<1>(output_head(in.y, p, b, h), i0 + warpgroup * kGroupRows, end, s.q[warpgroup][0][0], warp_row,
                                   [&](int, int n, int e) { return by[e / 2] == 0 ? 0 : acc[0][n][e] * by[e / 2]; });
#endif
}

template <int kDim>
void run(Context& context, const ForwardProblem<BFloat16>& in) {
  const AttentionParams& p = in.p;
  const WorkOrder order = work_order(p, p.queries, p.heads, p.keys);
  launch(attention_forward_v4<kDim>, dim3(unsigned(order.tiles * order.pairs)), kWgmmaThreads, aligned_shared_bytes<Smem<kDim>>,
         context, in, order, query_rows_of(in.q, p, p.q_step(), kGroupRows), key_rows_of(in.k, p, kKeys),
         key_rows_of(in.v, p, kKeys));
}

}  // namespace

bool supports_wgmma(const ForwardProblem<BFloat16>& in) {
  return (in.p.head_dim == 64 || in.p.head_dim == 128) && in.p.keys > 0 && supports_mma(in) && device_is_hopper();
}

void wgmma_forward(Context& context, const ForwardProblem<BFloat16>& in) {
  if (in.p.head_dim == 64) run<64>(context, in);
  else run<128>(context, in);
}

}  // namespace graft::GRAFT_GPU
