// Losses: the mean over the batch, one value; it, its gradient and the normaliser are of Accumulate<T>, f32 for bf16 logits.
//   cross_entropy  loss = mean_n of log sum_c exp(x_nc) - sum_c q_nc x_nc, q = (1 - smoothing) onehot(label) +
//   smoothing / C
//                  dx_nc = dloss / N (softmax(x_n)_c - q_nc)
//   mse            loss = mean (x - target)^2, dx = -dtarget = 2 dloss / n (x - target)
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct CrossEntropyParams {
  int64_t n, classes;
  double smoothing;
  int64_t padding = 0;  // columns behind the classes, as matrix products like their lines: not read, their gradient is 0
  int64_t line() const { return classes + padding; }
};
struct MseParams {
  int64_t n;
};

// loss[1]; x[N, C + padding]; normaliser[N, 2]: each row's maximum and log sum exp(x - maximum), apart so that large logits lose no
// digits.
template <class T>
using CrossEntropyForward = void(Context&, Accumulate<T>* loss, Accumulate<T>* normaliser, const T* x, const int64_t* labels,
                                 const CrossEntropyParams&);
// dx like x; dloss[1]
template <class T>
using CrossEntropyBackward = void(Context&, T* dx, const Accumulate<T>* dloss, const T* x, const Accumulate<T>* normaliser,
                                  const int64_t* labels, const CrossEntropyParams&);
template <class T>
using MseForward = void(Context&, Accumulate<T>* loss, const T* x, const T* target, const MseParams&);
// dx, dtarget: null when not needed.
template <class T>
using MseBackward = void(Context&, T* dx, T* dtarget, const Accumulate<T>* dloss, const T* x, const T* target, const MseParams&);

// ShapeError names the first row whose label lies outside [0, classes).
void check_labels(const char* op, const int64_t* labels, int64_t n, int64_t classes);

namespace cpu {
CrossEntropyForward<float> cross_entropy_forward;
CrossEntropyBackward<float> cross_entropy_backward;
MseForward<float> mse_forward;
MseBackward<float> mse_backward;
}  // namespace cpu

}  // namespace graft
