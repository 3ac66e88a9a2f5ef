// y[i] = weight[ids[i]];  dweight[v] = sum of dy[i] over the places i with ids[i] = v, in their order; f32 and bf16, sums in f32.
//
// forward   v1 plain    one thread a value: a row is read as whole lines; accepts all
//           v2 vectors  one thread 16 bytes. Features in units of 16 bytes. 8 bytes a value in f32, 4 in bf16
// backward  v1 rows     one thread a value of dweight walks all ids: no atomics, the same bits every time; work V n D; accepts all
//           v2 places   of each id its first place and how often it stands there are found by atomic minimum and count, whose
//                       results no order changes. A row of dweight without a place, or with one, is cleared or copied by a warp.
//                       For the others a block a place: that of an id's first place walks the places behind it until it has added
//                       up as many rows as there are; all others leave. 8 n bytes of ids for each id that comes again; each row of
//                       dy is read once, each of dweight written once
// An id outside [0, V) throws where the ids are in host memory, else its row of y is NaN and it has no gradient.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/embedding/embedding.h"

namespace graft::GRAFT_GPU {
namespace {

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) embedding_v1_v2(T* y, const T* weight, const int64_t* ids, EmbeddingParams p) {
  const int64_t i = global_thread() * kWidth;
  if (i >= p.n * p.features) return;
  const int64_t id = ids[i / p.features];
  float v[kWidth];
  if (id >= 0 && id < p.vocabulary) {
    load<kWidth>(v, weight + id * p.features + i % p.features);
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = NAN;
  }
  store<kWidth>(y + i, v);
}

template <class T>
__global__ void __launch_bounds__(kThreads) embedding_backward_v1(T* dweight, const T* dy, const int64_t* ids, EmbeddingParams p) {
  const int64_t i = global_thread();
  if (i >= p.vocabulary * p.features) return;
  const int64_t row = i / p.features, d = i % p.features;
  float sum = 0;
  for (int64_t k = 0; k < p.n; ++k)
    if (ids[k] == row) sum += to_float(dy[k * p.features + d]);
  dweight[i] = from_float<T>(sum);
}

// Of an id: its first place, and how many there are.
struct alignas(8) Places {
  int first, count;
};

__global__ void __launch_bounds__(kThreads) no_places(Places* places, EmbeddingParams p) {
  const int64_t i = global_thread();
  if (i < p.vocabulary) places[i] = {int(p.n), 0};
}

__global__ void __launch_bounds__(kThreads) find_places(Places* places, const int64_t* ids, EmbeddingParams p) {
  const int64_t i = global_thread();
  if (i >= p.n || ids[i] < 0 || ids[i] >= p.vocabulary) return;
  atomicMin(&places[ids[i]].first, int(i));
  atomicAdd(&places[ids[i]].count, 1);
}

// The first n blocks: all features of the row that place blockIdx.x is the first of several to take, kRowThreads vectors at a time.
// The rest: a warp a row of dweight that at most one place takes.
constexpr int kRowThreads = 128, kRowsOfBlock = kRowThreads / 32, kPlacesAtOnce = 4;
template <int kWidth, class T>
__global__ void __launch_bounds__(kRowThreads)
    embedding_backward_v2(T* dweight, const T* dy, const int64_t* ids, const Places* places, EmbeddingParams p) {
  struct Smem {
    int place[kRowThreads], matches[kRowThreads / 32];
  };
  auto& s = shared<Smem>();
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32, first = int(blockIdx.x);
  if (first >= p.n) {
    const int64_t row = (first - p.n) * kRowsOfBlock + warp;
    const Places all = row < p.vocabulary ? places[row] : Places{0, 2};
    if (all.count > 1) return;
    for (int64_t d = lane * kWidth; d < p.features; d += 32 * kWidth) {
      float v[kWidth] = {};
      if (all.count == 1) load<kWidth>(v, dy + all.first * p.features + d);
      store<kWidth>(dweight + row * p.features + d, v);
    }
    return;
  }
  const int64_t id = ids[first];
  if (id < 0 || id >= p.vocabulary) return;
  const Places all = places[id];
  if (all.first != first || all.count == 1) return;
  for (int64_t d0 = 0; d0 < p.features; d0 += kRowThreads * kWidth) {
    const int64_t d = d0 + thread * kWidth;
    float sum[kWidth] = {};
    const auto add = [&](const int* from, int count) {  // the rows of that many places, in their order
      if (d >= p.features) return;
      for (int k = 0; k < count; k += kPlacesAtOnce) {
        float v[kPlacesAtOnce][kWidth];
#pragma unroll
        for (int u = 0; u < kPlacesAtOnce; ++u)
          if (k + u < count) load<kWidth>(v[u], dy + from[k + u] * p.features + d);
#pragma unroll
        for (int u = 0; u < kPlacesAtOnce; ++u)
#pragma unroll
          for (int j = 0; j < kWidth; ++j)
            if (k + u < count) sum[j] += v[u][j];
      }
    };
    add(&first, 1);
    for (int begin = first + 1, left = all.count - 1; left > 0; begin += kRowThreads) {
      const bool match = begin + thread < p.n && ids[begin + thread] == id;
      const unsigned matches = __ballot_sync(kFullWarp, match);
      if (lane == 0) s.matches[warp] = __popc(matches);
      __syncthreads();
      int before = __popc(matches & ((1u << lane) - 1)), count = 0;
#pragma unroll
      for (int w = 0; w < kRowThreads / 32; ++w) {
        if (w < warp) before += s.matches[w];
        count += s.matches[w];
      }
      if (match) s.place[before] = begin + thread;
      __syncthreads();
      add(s.place, count);
      left -= count;
      __syncthreads();  // before the next places are written
    }
    if (d < p.features) store<kWidth>(dweight + id * p.features + d, sum);
  }
}

template <class T>
struct Forward {
  static void v1(Context& context, T* y, const T* weight, const int64_t* ids, const EmbeddingParams& p) {
    launch_threads(context, p.n * p.features, embedding_v1_v2<1, T>, y, weight, ids, p);
  }
  static bool supports_v2(T* y, const T* weight, const int64_t*, const EmbeddingParams& p) {
    return aligned_16(y, weight) && p.features % kVector<T> == 0;
  }
  static void v2(Context& context, T* y, const T* weight, const int64_t* ids, const EmbeddingParams& p) {
    launch_threads(context, p.n * p.features / kVector<T>, embedding_v1_v2<kVector<T>, T>, y, weight, ids, p);
  }
};
template <class T>
constexpr Rung<EmbeddingForward<T>> kForward[] = {
    {{1, "plain"}, accepts_all, Forward<T>::v1},
    {{2, "vectors"}, Forward<T>::supports_v2, Forward<T>::v2},
};

template <class T>
struct Backward {
  static void v1(Context& context, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
    launch_threads(context, p.vocabulary * p.features, embedding_backward_v1<T>, dweight, dy, ids, p);
  }
  static bool supports_v2(T*, const T*, const int64_t*, const EmbeddingParams& p) {
    return p.n < (1 << 30) && p.vocabulary >= 16;  // few rows: so few blocks stay that v1 is better
  }
  template <int kWidth>
  static void run_v2(Context& context, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
    const auto places = device_scratch<Places>(context, size_t(p.vocabulary));
    launch_threads(context, p.vocabulary, no_places, places.get(), p);
    launch_threads(context, p.n, find_places, places.get(), ids, p);
    launch_blocks(context, p.n + ceil_div(p.vocabulary, kRowsOfBlock), kRowThreads, embedding_backward_v2<kWidth, T>, dweight, dy,
                  ids, static_cast<const Places*>(places.get()), p);
  }
  static void v2(Context& context, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
    if (aligned_16(dweight, dy) && p.features % kVector<T> == 0) run_v2<kVector<T>>(context, dweight, dy, ids, p);
    else run_v2<1>(context, dweight, dy, ids, p);
  }
};
template <class T>
constexpr Rung<EmbeddingBackward<T>> kBackward[] = {
    {{1, "rows"}, accepts_all, Backward<T>::v1},
    {{2, "places"}, Backward<T>::supports_v2, Backward<T>::v2},
};

}  // namespace

template <class T>
void embedding_forward(Context& context, T* y, const T* weight, const int64_t* ids, const EmbeddingParams& p) {
  if (kHostMemory) check_ids(ids, p);
  run_version(Op::embedding, kForward<T>, context, y, weight, ids, p);
}
template <class T>
void embedding_backward(Context& context, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
  if (kHostMemory) check_ids(ids, p);
  run_version(Op::embedding, kBackward<T>, context, dweight, dy, ids, p);
}

GRAFT_GPU_KERNEL(embedding, forward, EmbeddingForward, kForward);
GRAFT_GPU_KERNEL(embedding, backward, EmbeddingBackward, kBackward);

}  // namespace graft::GRAFT_GPU
