// Normalisation: y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(var + eps), var biased.
//   batch_norm         mean, var of each channel over all rows             x[rows, C]
//   batch_norm_frozen  mean, var given                                     x[rows, C]
//   group_norm         of each sample's groups of C / groups channels      x[batches, rows, C]
//   layer_norm         of each row                                         x[rows, C]
// and, of another form, lrn  y_c = x_c d_c^-beta,  d_c = k + alpha / size sum of x^2 over channels c - size/2 .. c +
// (size-1)/2.
//
// With g = dy weight and xhat = (x - mean) rstd:  dx = rstd (g - mean(g) - xhat mean(g xhat)), the means over what mean
// and var ran over;  dweight = sum dy xhat,  dbias = sum dy;  with given statistics dx = rstd g.
//
// Both batch norms may add a residual like y, then take f, none or relu:  y = f((x - mean) rstd weight + bias + residual).
// Their gradients are those above with dz = dy f'(y) in the place of dy, and dresidual = dz.
#pragma once
#include "kernels/common/context.h"
#include "kernels/elementwise/activation.h"

namespace graft {

struct BatchNormParams {
  int64_t rows, channels;
  double eps;
  double momentum = 0;                       // running = (1 - momentum) running + momentum batch
  Activation activation = Activation::none;  // none or relu
};
struct GroupNormParams {
  int64_t batches, rows, channels, groups;
  double eps;
};
struct LayerNormParams {
  int64_t rows, channels;
  double eps;
};
struct LrnParams {
  int64_t rows, channels, size;
  double alpha, beta, k;  // k > 0
};

// weight, bias [C]: null for 1 and 0. dx, dweight, dbias: null where not needed. mean and rstd are one value for each
// normalised set: [C], [batches, groups] or [rows].

// All of these, with their gradients, are of Accumulate<T>: f32 where the activations are bf16.
//
// running_mean, running_var [C]: updated in place, running_var with the unbiased variance; null to keep none. statistics[2, C]:
// mean and biased variance of x where they are known already, as from conv2d; or null.
template <class T>
using BatchNormForward = void(Context&, T* y, Accumulate<T>* mean, Accumulate<T>* rstd, Accumulate<T>* running_mean,
                              Accumulate<T>* running_var, const T* x, const Accumulate<T>* weight, const Accumulate<T>* bias,
                              const T* residual, const Accumulate<T>* statistics, const BatchNormParams&);
template <class T>
using BatchNormFrozenForward = void(Context&, T* y, const T* x, const Accumulate<T>* weight, const Accumulate<T>* bias,
                                    const Accumulate<T>* mean, const Accumulate<T>* var, const T* residual, const BatchNormParams&);
// y is read for relu only, null without; dresidual is null without an activation, whose dz is dy itself. deviation: rstd, or var
// with given statistics.
template <class T>
using BatchNormBackward = void(Context&, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, T* dresidual, const T* dy, const T* x,
                               const T* y, const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* deviation,
                               const BatchNormParams&);
template <class T>
using BatchNormFrozenBackward = BatchNormBackward<T>;
template <class T, class Params>
using NormForward = void(Context&, T* y, Accumulate<T>* mean, Accumulate<T>* rstd, const T* x, const Accumulate<T>* weight,
                         const Accumulate<T>* bias, const Params&);
template <class T, class Params>
using NormBackward = void(Context&, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, const T* dy, const T* x,
                          const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* rstd, const Params&);
template <class T>
using GroupNormForward = NormForward<T, GroupNormParams>;
template <class T>
using GroupNormBackward = NormBackward<T, GroupNormParams>;
template <class T>
using LayerNormForward = NormForward<T, LayerNormParams>;
// others: another gradient of x, which is added to dx, or null.
template <class T>
using LayerNormBackward = void(Context&, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, const T* dy, const T* x,
                               const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* rstd, const T* others,
                               const LayerNormParams&);
template <class T>
using LrnForward = void(Context&, T* y, const T* x, const LrnParams&);
template <class T>
using LrnBackward = void(Context&, T* dx, const T* dy, const T* x, const LrnParams&);

namespace cpu {
BatchNormForward<float> batch_norm_forward;
BatchNormBackward<float> batch_norm_backward;
BatchNormFrozenForward<float> batch_norm_frozen_forward;
BatchNormFrozenBackward<float> batch_norm_frozen_backward;
GroupNormForward<float> group_norm_forward;
GroupNormBackward<float> group_norm_backward;
LayerNormForward<float> layer_norm_forward;
LayerNormBackward<float> layer_norm_backward;
LrnForward<float> lrn_forward;
LrnBackward<float> lrn_backward;
}  // namespace cpu

}  // namespace graft
