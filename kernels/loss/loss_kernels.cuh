// cross_entropy  loss = mean_n of log sum_c exp(x_nc) - sum_c q_nc x_nc;  dx = dloss / N (softmax(x) - q)
// mse            loss = mean (x - target)^2;  dx = -dtarget = 2 dloss / n (x - target)
// f32 and bf16; losses, sums and normalisers are f32.
//
// cross_entropy forward   v1 block    a block a row: the maximum, then the sum of exponentials: two reads of the logits; the
//                                     row's losses are added up in a second launch; accepts all
//                         v2 one pass a new maximum rescales the sum so far: one read, in vectors; what lies before the first
//                                     and behind the last whole vector of a row goes one by one. 4 bytes a logit in f32, 2 in
//                                     bf16; accepts all
// cross_entropy backward  v1 plain    one thread a value, from the row's stored maximum and log sum; accepts all
//                         v2 vectors  a block a row, in vectors likewise. Wants x and dx equally far from a multiple of 16 bytes.
//                                     8 bytes a logit in f32, 4 in bf16
// mse                     a sum of terms (kernels/reduce/sums.cuh); backward one thread a value
// A label outside [0, classes) throws where the labels are in host memory, else it makes the loss NaN.
// Forward and backward in one read and one write of the logits: cross_entropy_inplace_kernels.cuh.
#include "kernels/common/registry.h"
#include "kernels/loss/cross_entropy.cuh"
#include "kernels/loss/loss.h"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_rows_v1(float* row_loss, float* normaliser, const T* x, const int64_t* labels, int64_t classes, int64_t line,
                          Smoothing q) {
  struct Smem {
    WarpSums<1> max;
    WarpSums<2> sums;
  };
  auto& smem = shared<Smem>();
  x += blockIdx.x * line;
  RowSums row;
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) row.max = max_nan(row.max, to_float(x[c]));
  row.max = block_max(row.max, smem.max);
  Sums<2> s{};
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) {
    const float below = row.max - to_float(x[c]);
    s += Sums<2>{{expf(-below), below}};
  }
  s = block_sum(s, smem.sums);
  row.exponentials = s.v[0], row.below = s.v[1];
  if (threadIdx.x == 0) store_row(row_loss, normaliser, row, x, labels, classes, q);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_rows_v2(float* row_loss, float* normaliser, const T* x, const int64_t* labels, int64_t classes, int64_t line,
                          Smoothing q) {
  struct Smem {
    WarpSums<1> max;
    WarpSums<2> sums;
  };
  auto& smem = shared<Smem>();
  x += blockIdx.x * line;
  RowSums row;
  row.add_row(x, classes);
  row = row.of_block(smem.max, smem.sums);
  if (threadIdx.x == 0) store_row(row_loss, normaliser, row, x, labels, classes, q);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_v1(T* dx, const float* dloss, const T* x, const float* normaliser, const int64_t* labels, int64_t n,
                              int64_t classes, int64_t line, Smoothing q) {
  const int64_t i = global_thread();
  if (i >= n * line) return;
  const int64_t row = i / line, c = i % line;
  const float v = *dloss / float(n) * (expf(to_float(x[i]) - normaliser[2 * row] - normaliser[2 * row + 1]) - q(c == labels[row]));
  dx[i] = from_float<T>(c < classes ? v : 0.0f);
}

// dx at the label is written once more at the end, so that nobody compares columns.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_v2(T* dx, const float* dloss, const T* x, const float* normaliser, const int64_t* labels, int64_t n,
                              int64_t classes, int64_t line, Smoothing q) {
  const int64_t row = blockIdx.x, label = labels[row];
  const float max = normaliser[2 * row], log_sum = normaliser[2 * row + 1], factor = *dloss / float(n);
  x += row * line, dx += row * line;
  const auto gradient = [&](float v, bool at_label) { return factor * (exp_of<T>(v - max - log_sum) - q(at_label)); };
  const bool valid = label >= 0 && label < classes;
  const float at_label = threadIdx.x == 0 && valid ? gradient(to_float(x[label]), true) : 0.0f;
  __syncthreads();  // dx may be x
  map_row(dx, x, classes, [&](float v) { return gradient(v, false); });
  clear_padding(dx, classes, line);
  __syncthreads();
  if (threadIdx.x == 0 && valid) dx[label] = from_float<T>(at_label);
}

template <class T>
struct SquaredErrorTerm {
  static constexpr int kSums = 1;
  const T *x, *target;
  __device__ Sums<1> operator()(int64_t, int64_t k) const {
    const float d = to_float(x[k]) - to_float(target[k]);
    return {{d * d}};
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    mse_backward_v1(T* dx, T* dtarget, const float* dloss, const T* x, const T* target, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const float g = 2.0f * *dloss / float(n) * (to_float(x[i]) - to_float(target[i]));
  if (dx) dx[i] = from_float<T>(g);
  if (dtarget) dtarget[i] = from_float<T>(-g);
}

template <class T>
struct Forward {
  using Kernel = void(float*, float*, const T*, const int64_t*, int64_t, int64_t, Smoothing);
  static void run(Context& context, Kernel* kernel, int threads, float* loss, float* normaliser, const T* x, const int64_t* labels,
                  const CrossEntropyParams& p) {
    if (kHostMemory) check_labels("cross_entropy", labels, p.n, p.classes);
    const auto rows = device_scratch<float>(context, size_t(p.n));
    launch_blocks(context, p.n, threads, kernel, rows.get(), normaliser, x, labels, p.classes, p.line(), Smoothing(p));
    sum_rows(context, 1, p.n, ValueTerm{rows.get()}, StoreMean{loss, float(p.n)});
  }
  static void v1(Context& context, float* loss, float* normaliser, const T* x, const int64_t* labels, const CrossEntropyParams& p) {
    run(context, cross_entropy_rows_v1<T>, block_threads(p.classes), loss, normaliser, x, labels, p);
  }
  static void v2(Context& context, float* loss, float* normaliser, const T* x, const int64_t* labels, const CrossEntropyParams& p) {
    run(context, cross_entropy_rows_v2<T>, block_threads(p.classes), loss, normaliser, x, labels, p);
  }
};
template <class T>
constexpr Rung<CrossEntropyForward<T>> kForward[] = {
    {{1, "block"}, accepts_all, Forward<T>::v1},
    {{2, "one pass"}, accepts_all, Forward<T>::v2},
};

template <class T>
struct Backward {
  static void v1(Context& context, T* dx, const float* dloss, const T* x, const float* normaliser, const int64_t* labels,
                 const CrossEntropyParams& p) {
    launch_threads(context, p.n * p.line(), cross_entropy_backward_v1<T>, dx, dloss, x, normaliser, labels, p.n, p.classes,
                   p.line(), Smoothing(p));
  }
  static bool supports_v2(T* dx, const float*, const T* x, const float*, const int64_t*, const CrossEntropyParams&) {
    return (reinterpret_cast<uintptr_t>(dx) - reinterpret_cast<uintptr_t>(x)) % 16 == 0;
  }
  static void v2(Context& context, T* dx, const float* dloss, const T* x, const float* normaliser, const int64_t* labels,
                 const CrossEntropyParams& p) {
    launch_blocks(context, p.n, block_threads(p.classes), cross_entropy_backward_v2<T>, dx, dloss, x, normaliser, labels, p.n,
                  p.classes, p.line(), Smoothing(p));
  }
};
template <class T>
constexpr Rung<CrossEntropyBackward<T>> kBackward[] = {
    {{1, "plain"}, accepts_all, Backward<T>::v1},
    {{2, "vectors"}, Backward<T>::supports_v2, Backward<T>::v2},
};

}  // namespace

template <class T>
void cross_entropy_forward(Context& context, Accumulate<T>* loss, Accumulate<T>* normaliser, const T* x, const int64_t* labels,
                           const CrossEntropyParams& p) {
  run_version(Op::cross_entropy, kForward<T>, context, loss, normaliser, x, labels, p);
}
template <class T>
void cross_entropy_backward(Context& context, T* dx, const Accumulate<T>* dloss, const T* x, const Accumulate<T>* normaliser,
                            const int64_t* labels, const CrossEntropyParams& p) {
  run_version(Op::cross_entropy, kBackward<T>, context, dx, dloss, x, normaliser, labels, p);
}
template <class T>
void mse_forward(Context& context, Accumulate<T>* loss, const T* x, const T* target, const MseParams& p) {
  sum_rows(context, 1, p.n, SquaredErrorTerm<T>{x, target}, StoreMean{loss, float(p.n)});
}
template <class T>
void mse_backward(Context& context, T* dx, T* dtarget, const Accumulate<T>* dloss, const T* x, const T* target,
                  const MseParams& p) {
  launch_threads(context, p.n, mse_backward_v1<T>, dx, dtarget, dloss, x, target, p.n);
}

GRAFT_GPU_KERNEL(cross_entropy, forward, CrossEntropyForward, kForward);
GRAFT_GPU_KERNEL(cross_entropy, backward, CrossEntropyBackward, kBackward);
GRAFT_KERNEL(mse, forward, GRAFT_GPU, float, MseForward);
GRAFT_KERNEL(mse, forward, GRAFT_GPU, BFloat16, MseForward);
GRAFT_KERNEL(mse, backward, GRAFT_GPU, float, MseBackward);
GRAFT_KERNEL(mse, backward, GRAFT_GPU, BFloat16, MseBackward);

}  // namespace graft::GRAFT_GPU
