// y[i] = weight[ids[i]];  dweight[v] = sum of dy[i] over the places i with ids[i] = v, in their order; f32 and bf16, sums in f32.
//
// forward   v1 plain    one thread a value: a row is read as whole lines; accepts all
//           v2 vectors  one thread 16 bytes. Features in units of 16 bytes. 8 bytes a value in f32, 4 in bf16
// backward  v1 rows     one thread a value of dweight walks all ids: no atomics, the same bits every time; work V n D; accepts all
//           v2 places   dweight is cleared, then a block for each place: the block of an id's first place walks the places behind
//           it
//                       and adds up their rows, all others leave. Work n^2 / 2 comparisons of ids, 256 at once, which is nothing
//                       beside V D as long as n stays below 65,536; each row of dy is read once
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

template <class T>
__global__ void __launch_bounds__(kThreads) clear(T* p, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) p[i] = from_float<T>(0.0f);
}

// Features [256 blockIdx.y, + 256) of the row that place blockIdx.x is the first to take.
template <class T>
__global__ void __launch_bounds__(kThreads) embedding_backward_v2(T* dweight, const T* dy, const int64_t* ids, EmbeddingParams p) {
  struct Smem {
    unsigned matches[kThreads / 32];
  };
  auto& s = shared<Smem>();
  const int64_t place = blockIdx.x, id = ids[place], d = int64_t(blockIdx.y) * kThreads + threadIdx.x;
  if (id < 0 || id >= p.vocabulary) return;
  bool taken = false;
  for (int64_t k = threadIdx.x; k < place && !taken; k += kThreads) taken = ids[k] == id;
  if (__syncthreads_or(taken)) return;
  const int warp = int(threadIdx.x) / 32;
  float sum = 0;
  for (int64_t begin = place; begin < p.n; begin += kThreads) {
    const int64_t k = begin + threadIdx.x;
    const unsigned matches = __ballot_sync(kFullWarp, k < p.n && ids[k] == id);
    if (threadIdx.x % 32 == 0) s.matches[warp] = matches;
    __syncthreads();
    if (d < p.features)
      for (int w = 0; w < kThreads / 32; ++w)
        for (unsigned rest = s.matches[w]; rest; rest &= rest - 1)
          sum += to_float(dy[(begin + 32 * w + __ffs(int(rest)) - 1) * p.features + d]);
    __syncthreads();  // before the next matches are written
  }
  if (d < p.features) dweight[id * p.features + d] = from_float<T>(sum);
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
    return p.n < 65536 && p.vocabulary >= 16;  // few rows: so few blocks stay that v1 is better
  }
  static void v2(Context& context, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
    const int64_t size = p.vocabulary * p.features;
    launch_blocks(context, blocks_for(size, kThreads), kThreads, clear<T>, dweight, size);
    if (p.n > 0 && p.features > 0)
      launch(embedding_backward_v2<T>, dim3(unsigned(p.n), unsigned(ceil_div(p.features, kThreads))), kThreads, 0, context, dweight,
             dy, ids, p);
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
