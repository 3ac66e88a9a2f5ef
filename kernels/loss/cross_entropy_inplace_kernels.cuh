// loss = mean_n of log sum_c exp(x_nc) - sum_c q_nc x_nc;  x becomes (softmax(x) - q) / N; f32 and bf16.
//
// forward   v1 block      a block a row: maximum and sum in one read, the result in a second (from cache, where the row fits in
//                         it), in vectors where the row has whole ones; accepts all
//           v2 registers  the row stays in the registers of a warp or a block (kernels/common/rows.cuh): one read, one write.
//                         Classes in units of 16 bytes, up to 32,768, no padding. 8 bytes a logit in f32, 4 in bf16
//           v3 ahead      rows too long for that, two of which fit into shared memory (113 KB each on Hopper): a block a
//                         multiprocessor copies its next row while it works on one, each thread what it will read itself. As v2
//                         one read, one write
// backward  v1            returns at once where dloss is 1; dloss stays in the memory of the device, so nobody waits for it
#include "kernels/common/registry.h"
#include "kernels/common/rows.cuh"
#include "kernels/loss/cross_entropy.cuh"
#include "kernels/loss/cross_entropy_inplace.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kValues = 32;

// Of a long row many, so that the rows under way lie in L2 when they are read again: two of 50257 logits a multiprocessor are 26 MB
// of 50 on an H100, eight were 106.
constexpr int kMostRowThreads = 1024;
inline int row_threads(int64_t classes) { return classes > int64_t{1} << 14 ? kMostRowThreads : block_threads(classes); }

template <class T>
__global__ void __launch_bounds__(kMostRowThreads)
    cross_entropy_inplace_v1(float* row_loss, T* x, const int64_t* labels, int64_t classes, int64_t line, float rows, Smoothing q) {
  struct Smem {
    WarpSums<1> max;
    WarpSums<2> sums;
  };
  auto& smem = shared<Smem>();
  const int64_t label = labels[blockIdx.x];
  x += blockIdx.x * line;
  const float at_label = label >= 0 && label < classes ? to_float(x[label]) : NAN;
  RowSums row;
  row.add_row(x, classes);
  row = row.of_block(smem.max, smem.sums);  // its barriers: every thread has read the label's logit
  if (threadIdx.x == 0) row_loss[blockIdx.x] = row_loss_of(row, at_label, q);
  const float scale = 1.0f / row.exponentials;
  const float share = 1.0f / rows;
  const auto gradient = [&](float v, bool is_label) { return (exp_of<T>(v - row.max) * scale - q(is_label)) * share; };
  map_row(x, x, classes, [&](float v) { return gradient(v, false); });
  clear_padding(x, classes, line);
  __syncthreads();
  if (threadIdx.x == 0 && label >= 0 && label < classes) x[label] = from_float<T>(gradient(at_label, true));
}

template <class Team, int kValuesOfThread, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows)
    cross_entropy_inplace_v2(float* row_loss, T* x, const int64_t* labels, CrossEntropyParams p, float rows, Smoothing q) {
  const int64_t r = Team::row();
  if (r >= p.n) return;
  using Row = RowRegisters<Team, T, kValuesOfThread>;
  const int classes = int(p.classes);
  const int label = labels[r] >= 0 && labels[r] < p.classes ? int(labels[r]) : -1;
  Row row;
  row.read(x + r * p.classes, classes, -INFINITY);
  float max = -INFINITY;
  row.each([&](float v, int, int) { max = max_nan(max, v); });
  max = Team::max(max);
  float sum = 0, below = 0, at_label = 0;  // the label's logit lies with one thread: the others add 0
#pragma unroll
  for (int i = 0; i < Row::kPieces; ++i) {
    const int c = Row::column(i);
    if (c >= classes) continue;
#pragma unroll
    for (int j = 0; j < Row::kWidth; ++j) {
      float& v = row.v[i][j];
      below += max - v;
      if (c + j == label) at_label = v;
      v = expf(v - max);
      sum += v;
    }
  }
  sum = Team::sum(sum), below = Team::sum(below), at_label = Team::sum(at_label);
  if (label < 0) at_label = NAN;
  if (Team::thread() == 0) row_loss[r] = row_loss_of({max, sum, below, 0}, at_label, q);
  const float share = 1.0f / rows, scale = share / sum, elsewhere = q(false) * share, there = q(true) * share;
#pragma unroll
  for (int i = 0; i < Row::kPieces; ++i)
#pragma unroll
    for (int j = 0; j < Row::kWidth; ++j) row.v[i][j] = row.v[i][j] * scale - (Row::column(i) + j == label ? there : elsewhere);
  row.write(x + r * p.classes, classes);
}

template <class T>
__global__ void __launch_bounds__(kMostRowThreads)
    cross_entropy_inplace_v3(float* row_loss, T* x, const int64_t* labels, CrossEntropyParams p, float rows, Smoothing q) {
  constexpr int kWidth = kVector<T>;
  struct Smem {
    WarpSums<1> max;
    WarpSums<2> sums;
  };
  auto& smem = shared<Smem>();
  T* const buffers = reinterpret_cast<T*>(dynamic_shared<uint4>());  // of two rows
  const int classes = int(p.classes), line = int(p.classes + p.padding);
  const auto each_vector = [&](auto f) {
    for (int c = int(threadIdx.x) * kWidth; c < line; c += kMostRowThreads * kWidth) f(c);
  };
  const auto copy = [&](int64_t r, T* to) {
    if (r < p.n) each_vector([&](int c) { copy_async_16(to + c, x + r * line + c); });
    copy_async_commit();
  };
  copy(blockIdx.x, buffers);
  int turn = 0;
  for (int64_t r = blockIdx.x; r < p.n; r += gridDim.x, turn ^= 1) {
    const T* const row = buffers + turn * line;
    const int label = labels[r] >= 0 && labels[r] < classes ? int(labels[r]) : -1;
    copy(r + gridDim.x, buffers + (turn ^ 1) * line);
    copy_async_wait<1>();
    RowSums sums;
    float at_label = NAN;
    bool mine = label < 0 && threadIdx.x == 0;  // whether this thread tells the loss
    each_vector([&](int c) {
      float v[1][kWidth];
      load<kWidth>(v[0], row + c);
      if (label >= c && label < c + kWidth) mine = true, at_label = to_float(row[label]);
      if (c + kWidth <= classes) return sums.add<T>(v);
      for (int j = 0; c + j < classes; ++j) {
        const float last[1][1] = {{to_float(row[c + j])}};
        sums.add<T>(last);
      }
    });
    sums = sums.of_block(smem.max, smem.sums);
    if (mine) row_loss[r] = row_loss_of(sums, at_label, q);
    const float share = 1.0f / rows, scale = share / sums.exponentials, elsewhere = q(false) * share, there = q(true) * share;
    each_vector([&](int c) {
      float v[kWidth];
      load<kWidth>(v, row + c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j)
        v[j] = c + j < classes ? exp_of<T>(v[j] - sums.max) * scale - (c + j == label ? there : elsewhere) : 0;
      store<kWidth>(x + r * line + c, v);
    });
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) scale_gradient(T* dx, const float* dloss, int64_t n) {
  const float factor = *dloss;
  if (factor == 1.0f) return;
  for (int64_t i = global_thread(); i < n; i += global_threads()) dx[i] = from_float<T>(to_float(dx[i]) * factor);
}

template <class T>
struct Forward {
  static void v1(Context& context, float* loss, T* x, const int64_t* labels, const CrossEntropyParams& p) {
    const auto rows = device_scratch<float>(context, size_t(p.n));
    launch_blocks(context, p.n, row_threads(p.classes), cross_entropy_inplace_v1<T>, rows.get(), x, labels, p.classes, p.line(),
                  float(p.n), Smoothing(p));
    sum_rows(context, 1, p.n, ValueTerm{rows.get()}, StoreMean{loss, float(p.n)});
  }
  static bool supports_v2(float*, T* x, const int64_t*, const CrossEntropyParams& p) {
    return aligned_16(x) && p.padding == 0 && rows_fit<kValues, T>(p.classes);
  }
  static void v2(Context& context, float* loss, T* x, const int64_t* labels, const CrossEntropyParams& p) {
    const auto rows = device_scratch<float>(context, size_t(p.n));
    with_row_team<kValues>(p.classes, [&]<class Team, int kValuesOfThread>() {
      launch_rows<Team>(context, p.n, cross_entropy_inplace_v2<Team, kValuesOfThread, T>, rows.get(), x, labels, p, float(p.n),
                        Smoothing(p));
    });
    sum_rows(context, 1, p.n, ValueTerm{rows.get()}, StoreMean{loss, float(p.n)});
  }
  static size_t bytes_v3(const CrossEntropyParams& p) { return size_t(2 * p.line()) * sizeof(T); }
  static bool supports_v3(float*, T* x, const int64_t*, const CrossEntropyParams& p) {
    constexpr size_t kMost = 224 << 10;  // beside what is static
    return aligned_16(x) && p.line() % kVector<T> == 0 && bytes_v3(p) <= kMost && device_is_hopper();
  }
  // A vector at least for each thread.
  static bool pays_v3(float* loss, T* x, const int64_t* labels, const CrossEntropyParams& p) {
    return p.classes >= kMostRowThreads * kVector<T> && !supports_v2(loss, x, labels, p);
  }
  static void v3(Context& context, float* loss, T* x, const int64_t* labels, const CrossEntropyParams& p) {
    const auto rows = device_scratch<float>(context, size_t(p.n));
    if (p.n > 0)
      launch(cross_entropy_inplace_v3<T>, dim3(unsigned(std::min<int64_t>(p.n, multiprocessors()))), kMostRowThreads, bytes_v3(p),
             context, rows.get(), x, labels, p, float(p.n), Smoothing(p));
    sum_rows(context, 1, p.n, ValueTerm{rows.get()}, StoreMean{loss, float(p.n)});
  }
};
template <class T>
constexpr Rung<CrossEntropyInplaceForward<T>> kForward[] = {
    {{1, "block"}, accepts_all, Forward<T>::v1},
    {{2, "registers"}, Forward<T>::supports_v2, Forward<T>::v2},
    {{3, "ahead"}, Forward<T>::supports_v3, Forward<T>::v3, Forward<T>::pays_v3},
};

}  // namespace

template <class T>
void cross_entropy_inplace_forward(Context& context, Accumulate<T>* loss, T* x, const int64_t* labels,
                                   const CrossEntropyParams& p) {
  if (kHostMemory) check_labels("cross_entropy", labels, p.n, p.classes);
  run_version(Op::cross_entropy_inplace, kForward<T>, context, loss, x, labels, p);
}
template <class T>
void cross_entropy_inplace_backward(Context& context, T* dx, const Accumulate<T>* dloss, const CrossEntropyParams& p) {
  const int64_t n = p.n * p.line();
  launch_blocks(context, blocks_for(n, kThreads), kThreads, scale_gradient<T>, dx, dloss, n);
}

GRAFT_GPU_KERNEL(cross_entropy_inplace, forward, CrossEntropyInplaceForward, kForward);
GRAFT_KERNEL(cross_entropy_inplace, backward, GRAFT_GPU, float, CrossEntropyInplaceBackward);
GRAFT_KERNEL(cross_entropy_inplace, backward, GRAFT_GPU, BFloat16, CrossEntropyInplaceBackward);

}  // namespace graft::GRAFT_GPU
