// Version 4 of attention, forward: FlashAttention-3 (Shah et al. 2024) on Hopper, bf16 tensors, head_dim 64 and 128.
//
// Its work comes in items of 128 queries of a head, 64 for each of two consumer warpgroups; a third warpgroup is there for one
// thread that asks TMA for tiles of 128 rows of k and v. What it teaches:
//   ring         four slots of a tile each; a mbarrier says that a tile is full, another that both consumers are done with it. The
//                producer never computes and gives its registers away, the consumers never compute an address of global memory
//   wgmma        q k^T has both operands in shared memory, as TMA's swizzle laid them; P v takes P from registers, rounded to bf16
//                (its fragments are those of the scores), and v with its features contiguous
//   overlap      the scores of the next tile and P v of this one are issued together: the softmax of the next runs while P v does
//   ping-pong    two named barriers hand the tensor cores from one warpgroup to the other: one multiplies while the other is at
//                its softmax, which at head_dim 64 takes as long (one exp2 for 4 x 64 products)
//   persistent   as many blocks as multiprocessors take item after item: the queries and the first keys of the next are under way
//                while this one is finished. A causal item has few tiles (4.5 on average at 1024 queries), so that begin and end
//                weigh; a row of items goes to the blocks forwards, the next backwards, which evens out their lengths
// Tiles are taken from the last to the first, so that masks are met before the main loop is in swing. Padding that lies in a
// tile beside keys is replaced by zeros in shared memory: P is zero there, but 0 NaN is not.
#include "kernels/attention/wgmma_tile.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kKeys = 128, kSlots = 4;  // of a tile; of the ring

template <int kDim>
struct alignas(1024) Smem {
  WgmmaTile<kDim, kGroupRows> q[kItems][kConsumers];  // then the results
  WgmmaTile<kDim, kKeys> ring[kSlots];                // k, then k and v in turns: as they are used
  uint64_t q_full[kItems], q_empty[kItems], full[kSlots], empty[kSlots];
};

// 128 queries of a head, and the tiles of keys that they see.
struct QueryTile {
  int i0, end, head, b, count;  // queries i0 to end; keys
  Band mask;
  int first, steps;

  __device__ QueryTile(const ForwardProblem<BFloat16>& in, const WorkOrder& order, int item) {
    constexpr int kRows = kConsumers * kGroupRows;
    const Work work = work_of(order, item);
    i0 = (order.tiles - 1 - work.tile) * kRows, end = min(i0 + kRows, int(in.p.queries)), head = work.head, b = work.b;
    count = int(key_count(in.p, in.lengths, b));
    mask = band<Rows::queries>(in.p, count);
    const Span all{mask.seen(i0).begin, mask.seen(end - 1).end};
    first = all.begin / kKeys, steps = all.begin < all.end ? (all.end + kKeys - 1) / kKeys - first : 0;
  }
};

template <int kDim>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    attention_forward_v4(ForwardProblem<BFloat16> in, WorkOrder order, const __grid_constant__ TensorMap map_q,
                         const __grid_constant__ TensorMap map_k, const __grid_constant__ TensorMap map_v) {
#if defined(GRAFT_SM_90A)
  constexpr int kBoxes = kDim / kBoxFeatures, kTileBytes = kDim * kKeys * 2;
  auto& s = aligned_shared<Smem<kDim>>();
  const AttentionParams& p = in.p;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kItems; ++i) {
      mbarrier_init(&s.q_full[i], 1);
      mbarrier_init(&s.q_empty[i], kConsumers * kWarpgroup / 32);
    }
    for (int i = 0; i < kSlots; ++i) {
      mbarrier_init(&s.full[i], 1);
      mbarrier_init(&s.empty[i], kConsumers * kWarpgroup / 32);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  unsigned slot = 0;
  const int warpgroup = warpgroup_index();
  if (warpgroup == kConsumers) {  // the producer
    registers_decrease<24>();
    if (int(threadIdx.x) != kConsumers * kWarpgroup) return;
    for_items(order, [&](int item, int turn) {
      const QueryTile o(in, order, item);
      const int kv = o.head / int(p.group()), q = turn % kItems;
      mbarrier_wait(&s.q_empty[q], turn / kItems % 2 ^ 1);
      mbarrier_arrive_expect(&s.q_full[q], kConsumers * kGroupRows * kDim * 2);
      for (int w = 0; w < kConsumers; ++w)
        for (int box = 0; box < kBoxes; ++box)
          tma_load(s.q[q][w][box], map_q, &s.q_full[q], box * kBoxFeatures, o.head, o.i0 + w * kGroupRows, o.b);
      const auto load = [&](const TensorMap& map, int tile) {
        const unsigned at = slot % kSlots;
        mbarrier_wait(&s.empty[at], int(slot / kSlots % 2 ^ 1));
        mbarrier_arrive_expect(&s.full[at], kTileBytes);
        for (int box = 0; box < kBoxes; ++box)
          tma_load(s.ring[at][box], map, &s.full[at], box * kBoxFeatures, kv, tile * kKeys, o.b);
        ++slot;
      };
      if (o.steps == 0) return;
      load(map_k, o.first + o.steps - 1);
      for (int tile = o.first + o.steps - 1; tile > o.first; --tile) {
        load(map_k, tile - 1);
        load(map_v, tile);
      }
      load(map_v, o.first);
    });
    return;
  }

  registers_increase<240>();
  const int thread = int(threadIdx.x) % kWarpgroup, lane = thread % 32, g = lane / 4, t = lane % 4;
  const int warp_row = same_in_warp(thread / 32 * 16);
  const auto take = [&] {  // the next slot of the ring, full
    const unsigned at = slot % kSlots;
    mbarrier_wait(&s.full[at], int(slot / kSlots % 2));
    ++slot;
    return at;
  };
  const auto release = [&](unsigned at) {
    if (lane == 0) mbarrier_arrive(&s.empty[at]);
  };
  using Tile = WgmmaTile<kDim, kKeys>;
  const uint64_t ring_rows = operand_of_rows<kDim, kKeys>(s.ring[0]), ring_features = operand_of_features<kDim, kKeys>(s.ring[0]);
  const float scale_log2 = float(p.scale) * kLog2e;
  for_items(order, [&](int item, int turn) {
    const QueryTile o(in, order, item);
    const int row0 = o.i0 + warpgroup * kGroupRows + warp_row, last = o.first + o.steps - 1;  // of the warp; tile
    const WarpView view(o.mask, row0, min(row0 + 16, o.end));
    OnlineSoftmax<1> softmax;
    float acc[1][kDim / 8][4] = {}, score[1][kKeys / 8][4], faded[1][2];
    uint32_t prob[kKeys / 16][4];
    const auto hide = [&](int j0) {  // what a mask hides
      if (view.everything_in(j0, kKeys)) return;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Span seen = o.mask.seen(row0 + 8 * half + g);
        const int from = seen.begin - j0 - 2 * t, to = seen.end - j0 - 2 * t;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e)
            if (8 * n + e < from || 8 * n + e >= to) score[0][n][2 * half + e] = -INFINITY;
      }
    };

    auto& q_tile = s.q[turn % kItems][warpgroup];
    mbarrier_wait(&s.q_full[turn % kItems], turn / kItems % 2);
    if (o.steps > 0) {
      const uint64_t q = operand_of_rows<kDim, kGroupRows>(q_tile);
      int padding = o.count < p.keys ? o.count - last * kKeys : kKeys;  // where it begins, in the first tile
      if (warpgroup == 1 && o.steps > 1) named_barrier_arrive(kTurn, kConsumers * kWarpgroup);  // the first turn is the other's
      const unsigned k_slot = take();
      wgmma_fence(flat(score));
      multiply_rows<kDim, kKeys>(flat(score), q, ring_rows + k_slot * kNextTile<Tile>);
      wgmma_wait<0>(flat(score));
      release(k_slot);
      hide(last * kKeys);
      softmax.update(score, faded, scale_log2);
      round_weights<kKeys>(prob, score);
      for (int tile = last - 1; tile >= o.first; --tile) {
        const unsigned next_k = take(), v_slot = take();
        clear_padding<kDim, kKeys>(s.ring[v_slot], padding);
        padding = kKeys;
        named_barrier_sync(kTurn + warpgroup, kConsumers * kWarpgroup);
        wgmma_fence(flat(score), flat(acc));
        multiply_rows<kDim, kKeys>(flat(score), q, ring_rows + next_k * kNextTile<Tile>);
        add_weighted_rows<kKeys>(flat(acc), prob, ring_features + v_slot * kNextTile<Tile>);
        if (warpgroup == 0 || tile > o.first) named_barrier_arrive(kTurn + 1 - warpgroup, kConsumers * kWarpgroup);
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
      const unsigned v_slot = take();
      clear_padding<kDim, kKeys>(s.ring[v_slot], padding);
      wgmma_fence(flat(acc));
      add_weighted_rows<kKeys>(flat(acc), prob, ring_features + v_slot * kNextTile<Tile>);
      wgmma_wait<0>(flat(acc));
      release(v_slot);
    }

    float by[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = row0 + 8 * half + g;
      const Span seen = o.mask.seen(i);
      const RowResult row = softmax.finish(0, half, float(p.scale), seen.begin == seen.end);
      by[half] = row.by;
      if (t == 0 && i < o.end) in.lse[(int64_t(o.b) * p.heads + o.head) * p.queries + i] = row.lse;
    }
    named_barrier_sync(kOwn + warpgroup, kWarpgroup);  // the queries, which all four warps multiplied, are overwritten
    MmaTile<kDim>::template store<1>(output_head(in.y, p, o.b, o.head), o.i0 + warpgroup * kGroupRows, o.end, q_tile[0][0],
                                     warp_row, [&](int, int n, int e) { return by[e / 2] == 0 ? 0 : acc[0][n][e] * by[e / 2]; });
    fence_async();  // TMA overwrites them
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&s.q_empty[turn % kItems]);
  });
#endif
}

template <int kDim>
void run(Context& context, const ForwardProblem<BFloat16>& in) {
  const AttentionParams& p = in.p;
  const WorkOrder order = work_order(p, p.queries, p.heads, p.keys);
  launch(attention_forward_v4<kDim>, blocks_for(order), kWgmmaThreads, aligned_shared_bytes<Smem<kDim>>, context, in, order,
         query_rows_of(in.q, p, p.q_step(), kGroupRows), key_rows_of(in.k, p, kKeys), key_rows_of(in.v, p, kKeys));
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
