// Batch and group norm, vectors over channels. Rows are cut into chunks by shape; within a chunk sums run in float,
// and the chunks' sums are added in order in double.
//
// Statistics of a chunk are two-pass with Chan's correction (Chan, Golub & LeVeque 1983): first the mean, then sums of
// d = x - mean and d^2, var = (sum d^2 - (sum d)^2 / n) / n, so a mean 10^5 times the deviation costs no digits of it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/channel_norm_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/norm/norm.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// sums[k] = sum over r < rows of the k-th value that f(r, accumulators) adds; four chains hide the adder's latency.
template <int kSums, class F>
HWY_INLINE void sum_rows(int64_t rows, VF (&sums)[kSums], F f) {
  VF chains[4][kSums];
  for (auto& chain : chains)
    for (VF& v : chain) v = hn::Zero(F32());
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    for (int i = 0; i < 4; ++i) f(r + i, chains[i]);
  for (; r < rows; ++r) f(r, chains[0]);
  for (int k = 0; k < kSums; ++k) sums[k] = hn::Add(hn::Add(chains[0][k], chains[1][k]), hn::Add(chains[2][k], chains[3][k]));
}

// Of x[rows, C]: mean[C] and what is missing of it in error[C], as the float of a large mean is too coarse for its
// deviations, and squares[C], the sum of (x - mean - error)^2.
void Moments(const float* x, int64_t rows, int64_t channels, float* mean, float* error, float* squares) {
  const VF per_row = hn::Set(F32(), 1.0f / float(rows));
  for_vectors(channels, [&](int64_t c, auto lanes) {
    VF sum[1], second[2];
    sum_rows(rows, sum, [&](int64_t r, VF(&a)[1]) { a[0] = hn::Add(a[0], lanes.load(x + r * channels + c)); });
    const VF m = hn::Mul(sum[0], per_row);
    sum_rows(rows, second, [&](int64_t r, VF(&a)[2]) {
      const VF d = hn::Sub(lanes.load(x + r * channels + c), m);
      a[0] = hn::Add(a[0], d);
      a[1] = hn::MulAdd(d, d, a[1]);
    });
    const VF e = hn::Mul(second[0], per_row);
    lanes.store(m, mean + c);
    lanes.store(e, error + c);
    lanes.store(hn::NegMulAdd(e, second[0], second[1]), squares + c);
  });
}

// dz at element i: dy, or dy relu'(y) where there is a y. The product keeps a NaN of dy, as activation_cpu.cpp does.
template <class Lanes>
HWY_INLINE VF gradient(const float* dy, const float* y, int64_t i, Lanes lanes) {
  const VF g = lanes.load(dy + i);
  if (!y) return g;
  return hn::Mul(g, hn::IfThenElseZero(hn::Gt(lanes.load(y + i), hn::Zero(F32())), hn::Set(F32(), 1.0f)));
}

// sum_dy[C] = sum dz, sum_dyx[C] = sum dz (x - center), dz by the way.
void GradientSums(const float* dy, const float* y, const float* x, int64_t rows, int64_t channels, const float* center,
                  float* sum_dy, float* sum_dyx, float* dz) {
  for_vectors(channels, [&](int64_t c, auto lanes) {
    const VF m = lanes.load(center + c);
    VF sums[2];
    sum_rows(rows, sums, [&](int64_t r, VF(&a)[2]) {
      const VF g = gradient(dy, y, r * channels + c, lanes);
      if (dz) lanes.store(g, dz + r * channels + c);
      a[0] = hn::Add(a[0], g);
      a[1] = hn::MulAdd(g, hn::Sub(lanes.load(x + r * channels + c), m), a[1]);
    });
    lanes.store(sums[0], sum_dy + c);
    lanes.store(sums[1], sum_dyx + c);
  });
}

// y = f((x - center) scale + shift + residual). The operations of the norm, of binary_cpu.cpp and of activation_cpu.cpp one after
// another, so that a network has the same bits with its layers fused as without.
void Apply(float* y, const float* x, const float* residual, int64_t rows, int64_t channels, const float* center, const float* scale,
           const float* shift, Activation f) {
  const VF zero = hn::Zero(F32());
  for (int64_t at = 0; at < rows * channels; at += channels)
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const VF d = hn::Sub(lanes.load(x + at + c), lanes.load(center + c));
      VF v = hn::MulAdd(d, lanes.load(scale + c), lanes.load(shift + c));
      if (residual) v = hn::Add(v, lanes.load(residual + at + c));
      if (f == Activation::relu) v = hn::IfThenElse(hn::Lt(v, zero), zero, v);  // keeps NaN, unlike max
      lanes.store(v, y + at + c);
    });
}

// dx = dz scale - (x - center) slope - shift.
void ApplyGradient(float* dx, const float* dy, const float* y, const float* x, int64_t rows, int64_t channels, const float* center,
                   const float* scale, const float* slope, const float* shift) {
  for (int64_t at = 0; at < rows * channels; at += channels)
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const VF d = hn::Sub(lanes.load(x + at + c), lanes.load(center + c));
      const VF g = hn::MulSub(gradient(dy, y, at + c, lanes), lanes.load(scale + c), lanes.load(shift + c));
      lanes.store(hn::NegMulAdd(d, lanes.load(slope + c), g), dx + at + c);
    });
}

// dx = dz scale and dz; either may be null.
void Multiply(float* dx, float* dz, const float* dy, const float* y, int64_t rows, int64_t channels, const float* scale) {
  for (int64_t at = 0; at < rows * channels; at += channels)
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const VF g = gradient(dy, y, at + c, lanes);
      if (dz) lanes.store(g, dz + at + c);
      if (dx) lanes.store(hn::Mul(g, lanes.load(scale + c)), dx + at + c);
    });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {
namespace {

HWY_EXPORT(Moments);
HWY_EXPORT(GradientSums);
HWY_EXPORT(Apply);
HWY_EXPORT(ApplyGradient);
HWY_EXPORT(Multiply);

// x[batches, rows, C] and how it is cut: about 64 KB to a chunk, and enough rows that the sums in double cost little.
struct Extent {
  int64_t batches, rows, channels;
  int64_t chunk_rows() const { return std::max<int64_t>(64, (1 << 14) / channels); }
  int64_t chunks() const { return (rows + chunk_rows() - 1) / chunk_rows(); }  // of one sample
  int64_t rows_of(int64_t chunk) const { return std::min(chunk_rows(), rows - chunk * chunk_rows()); }
};

// f(sample, index of the chunk in all, its first element, its rows)
template <class F>
void for_chunks(Context& context, const Extent& e, F f) {
  const int64_t chunks = e.chunks();
  context.pool().parallel_for(e.batches * chunks, [&](int64_t task, int) {
    const int64_t b = task / chunks, chunk = task % chunks;
    f(b, task, (b * e.rows + chunk * e.chunk_rows()) * e.channels, e.rows_of(chunk));
  });
}

float value(const float* p, int64_t i, float otherwise) { return p ? p[i] : otherwise; }
template <class T>
T* behind(T* p, int64_t n) {  // a null pointer stays null
  return p ? p + n : p;
}

// mean, var [batches, C]
void channel_moments(Context& context, const float* x, const Extent& e, double* mean, double* var) {
  const int64_t chunks = e.chunks(), C = e.channels;
  auto partial = context.scratch<float>(size_t(3 * e.batches * chunks * C));
  for_chunks(context, e, [&](int64_t, int64_t chunk, int64_t at, int64_t rows) {
    float* p = partial.get() + 3 * chunk * C;
    HWY_DYNAMIC_DISPATCH(Moments)(x + at, rows, C, p, p + C, p + 2 * C);
  });
  context.pool().parallel_for(e.batches, [&](int64_t b, int) {
    const float* sample = partial.get() + 3 * b * chunks * C;
    const auto chunk_mean = [&](int64_t k, int64_t c) { return double(sample[3 * k * C + c]) + sample[(3 * k + 1) * C + c]; };
    double *m = mean + b * C, *v = var + b * C;
    std::fill_n(m, C, 0.0);
    std::fill_n(v, C, 0.0);
    for (int64_t k = 0; k < chunks; ++k)
      for (int64_t c = 0; c < C; ++c) m[c] += double(e.rows_of(k)) / double(e.rows) * chunk_mean(k, c);
    for (int64_t k = 0; k < chunks; ++k)
      for (int64_t c = 0; c < C; ++c) {
        const double d = chunk_mean(k, c) - m[c];
        v[c] += (sample[(3 * k + 2) * C + c] + double(e.rows_of(k)) * d * d) / double(e.rows);
      }
  });
}

// What reaches the normalised value: dz = dy, or dy where y > 0 if there is a y.
struct Upstream {
  const float *dy, *y = nullptr;
};

// sum_dy, sum_dyx [batches, C]: of dz and dz (x - center); center[batches, C]. dz by the way, where it is not null.
void channel_gradient_sums(Context& context, const Upstream& up, const float* x, const Extent& e, const float* center,
                           double* sum_dy, double* sum_dyx, float* dz) {
  const int64_t chunks = e.chunks(), C = e.channels;
  auto partial = context.scratch<float>(size_t(2 * e.batches * chunks * C));
  for_chunks(context, e, [&](int64_t b, int64_t chunk, int64_t at, int64_t rows) {
    float* sums = partial.get() + 2 * chunk * C;
    HWY_DYNAMIC_DISPATCH(GradientSums)
    (up.dy + at, behind(up.y, at), x + at, rows, C, center + b * C, sums, sums + C, behind(dz, at));
  });
  context.pool().parallel_for(e.batches, [&](int64_t b, int) {
    std::fill_n(sum_dy + b * C, C, 0.0);
    std::fill_n(sum_dyx + b * C, C, 0.0);
    for (int64_t k = b * chunks; k < (b + 1) * chunks; ++k)
      for (int64_t c = 0; c < C; ++c) {
        sum_dy[b * C + c] += partial[size_t(2 * k * C + c)];
        sum_dyx[b * C + c] += partial[size_t((2 * k + 1) * C + c)];
      }
  });
}

// y = f((x - mean) rstd weight + bias + residual) with mean, rstd [batches, groups] of `width` channels. The float nearest to
// the mean is taken off first, the rest of it goes into the shift.
void normalise(Context& context, float* y, const float* x, const Extent& e, int64_t width, const double* mean, const double* rstd,
               const float* weight, const float* bias, const float* residual = nullptr, Activation f = Activation::none) {
  const int64_t n = e.batches * e.channels;
  auto center = context.scratch<float>(size_t(n)), scale = context.scratch<float>(size_t(n)),
       shift = context.scratch<float>(size_t(n));
  for (int64_t i = 0; i < n; ++i) {
    const int64_t c = i % e.channels, g = i / width;
    const double s = rstd[g] * value(weight, c, 1);
    center[size_t(i)] = float(mean[g]);
    scale[size_t(i)] = float(s);
    shift[size_t(i)] = float(value(bias, c, 0) - (mean[g] - double(center[size_t(i)])) * s);
  }
  for_chunks(context, e, [&](int64_t b, int64_t, int64_t at, int64_t rows) {
    const int64_t c = b * e.channels;
    HWY_DYNAMIC_DISPATCH(Apply)
    (y + at, x + at, behind(residual, at), rows, e.channels, center.get() + c, scale.get() + c, shift.get() + c, f);
  });
}

// mean, rstd [batches, groups] from the channels' moments.
void group_moments(const Extent& e, int64_t width, double eps, const double* channel_mean, const double* channel_var, double* mean,
                   double* rstd) {
  for (int64_t g = 0; g < e.batches * e.channels / width; ++g) {
    double m = 0, var = 0;
    for (int64_t i = g * width; i < (g + 1) * width; ++i) m += channel_mean[i] / double(width);
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      const double d = channel_mean[i] - m;
      var += (channel_var[i] + d * d) / double(width);
    }
    mean[g] = m;
    rstd[g] = 1 / std::sqrt(var + eps);
  }
}

void norm_backward(Context& context, float* dx, float* dweight, float* dbias, float* dresidual, Upstream up, const float* x,
                   const float* weight, const float* mean, const float* rstd, const GroupNormParams& p) {
  const Extent e{p.batches, p.rows, p.channels};
  const int64_t width = p.channels / p.groups, n = p.batches * p.channels;
  auto sum_dy = context.scratch<double>(size_t(n)), sum_dyx = context.scratch<double>(size_t(n));
  auto center = context.scratch<float>(size_t(n)), scale = context.scratch<float>(size_t(n));
  auto slope = context.scratch<float>(size_t(n)), shift = context.scratch<float>(size_t(n));
  for (int64_t i = 0; i < n; ++i) center[size_t(i)] = mean[i / width];
  channel_gradient_sums(context, up, x, e, center.get(), sum_dy.get(), sum_dyx.get(), dresidual);
  if (dresidual) up = {dresidual};
  for (int64_t c = 0; c < p.channels; ++c) {
    double w = 0, b = 0;
    for (int64_t i = c; i < n; i += p.channels) {
      w += sum_dyx[size_t(i)] * double(rstd[i / width]);
      b += sum_dy[size_t(i)];
    }
    if (dweight) dweight[c] = float(w);
    if (dbias) dbias[c] = float(b);
  }
  if (!dx) return;
  for (int64_t g = 0; g < p.batches * p.groups; ++g) {
    const double s = rstd[g], count = double(p.rows * width);
    double mean_g = 0, mean_gx = 0;  // of g = dy weight and of g xhat
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      const double w = value(weight, i % p.channels, 1);
      mean_g += w * sum_dy[size_t(i)] / count;
      mean_gx += w * sum_dyx[size_t(i)] * s / count;
    }
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      scale[size_t(i)] = float(s * value(weight, i % p.channels, 1));
      slope[size_t(i)] = float(s * s * mean_gx);
      shift[size_t(i)] = float(s * mean_g);
    }
  }
  for_chunks(context, e, [&](int64_t b, int64_t, int64_t at, int64_t rows) {
    const int64_t c = b * p.channels;
    HWY_DYNAMIC_DISPATCH(ApplyGradient)
    (dx + at, up.dy + at, behind(up.y, at), x + at, rows, p.channels, center.get() + c, scale.get() + c, slope.get() + c,
     shift.get() + c);
  });
}
}  // namespace

void group_norm_forward(Context& context, float* y, float* mean, float* rstd, const float* x, const float* weight,
                        const float* bias, const GroupNormParams& p) {
  const Extent e{p.batches, p.rows, p.channels};
  const size_t channels = size_t(p.batches * p.channels), groups = size_t(p.batches * p.groups);
  auto channel_mean = context.scratch<double>(channels), channel_var = context.scratch<double>(channels);
  auto m = context.scratch<double>(groups), s = context.scratch<double>(groups);
  channel_moments(context, x, e, channel_mean.get(), channel_var.get());
  group_moments(e, p.channels / p.groups, p.eps, channel_mean.get(), channel_var.get(), m.get(), s.get());
  std::copy_n(m.get(), groups, mean);
  std::copy_n(s.get(), groups, rstd);
  normalise(context, y, x, e, p.channels / p.groups, m.get(), s.get(), weight, bias);
}

void group_norm_backward(Context& context, float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                         const float* weight, const float* mean, const float* rstd, const GroupNormParams& p) {
  norm_backward(context, dx, dweight, dbias, nullptr, {dy}, x, weight, mean, rstd, p);
}

void batch_norm_forward(Context& context, float* y, float* mean, float* rstd, float* running_mean, float* running_var,
                        const float* x, const float* weight, const float* bias, const float* residual, const float* statistics,
                        const BatchNormParams& p) {
  const Extent e{1, p.rows, p.channels};
  auto m = context.scratch<double>(size_t(p.channels)), var = context.scratch<double>(size_t(p.channels)),
       s = context.scratch<double>(size_t(p.channels));
  if (statistics) std::copy_n(statistics, p.channels, m.get()), std::copy_n(statistics + p.channels, p.channels, var.get());
  else channel_moments(context, x, e, m.get(), var.get());
  const double unbiased = double(p.rows) / double(p.rows - 1);
  for (int64_t c = 0; c < p.channels; ++c) {
    const size_t i = size_t(c);
    s[i] = 1 / std::sqrt(var[i] + p.eps);
    mean[c] = float(m[i]);
    rstd[c] = float(s[i]);
    if (running_mean) running_mean[c] = float((1 - p.momentum) * running_mean[c] + p.momentum * m[i]);
    if (running_var) running_var[c] = float((1 - p.momentum) * running_var[c] + p.momentum * var[i] * unbiased);
  }
  normalise(context, y, x, e, 1, m.get(), s.get(), weight, bias, residual, p.activation);
}

void batch_norm_backward(Context& context, float* dx, float* dweight, float* dbias, float* dresidual, const float* dy,
                         const float* x, const float* y, const float* weight, const float* mean, const float* rstd,
                         const BatchNormParams& p) {
  norm_backward(context, dx, dweight, dbias, dresidual, {dy, y}, x, weight, mean, rstd, {1, p.rows, p.channels, p.channels, p.eps});
}

void batch_norm_frozen_forward(Context& context, float* y, const float* x, const float* weight, const float* bias,
                               const float* mean, const float* var, const float* residual, const BatchNormParams& p) {
  auto m = context.scratch<double>(size_t(p.channels)), s = context.scratch<double>(size_t(p.channels));
  for (int64_t c = 0; c < p.channels; ++c) {
    m[size_t(c)] = mean[c];
    s[size_t(c)] = 1 / std::sqrt(var[c] + p.eps);
  }
  normalise(context, y, x, {1, p.rows, p.channels}, 1, m.get(), s.get(), weight, bias, residual, p.activation);
}

void batch_norm_frozen_backward(Context& context, float* dx, float* dweight, float* dbias, float* dresidual, const float* dy,
                                const float* x, const float* y, const float* weight, const float* mean, const float* var,
                                const BatchNormParams& p) {
  const Extent e{1, p.rows, p.channels};
  auto sum_dy = context.scratch<double>(size_t(p.channels)), sum_dyx = context.scratch<double>(size_t(p.channels));
  auto scale = context.scratch<float>(size_t(p.channels));
  const Upstream up{dy, y};
  if (dweight || dbias) channel_gradient_sums(context, up, x, e, mean, sum_dy.get(), sum_dyx.get(), nullptr);
  for (int64_t c = 0; c < p.channels; ++c) {
    const double rstd = 1 / std::sqrt(var[c] + p.eps);
    scale[size_t(c)] = float(rstd * value(weight, c, 1));
    if (dweight) dweight[c] = float(sum_dyx[size_t(c)] * rstd);
    if (dbias) dbias[c] = float(sum_dy[size_t(c)]);
  }
  if (!dx && !dresidual) return;
  for_chunks(context, e, [&](int64_t, int64_t, int64_t at, int64_t rows) {
    HWY_DYNAMIC_DISPATCH(Multiply)
    (behind(dx, at), behind(dresidual, at), dy + at, behind(y, at), rows, p.channels, scale.get());
  });
}

GRAFT_KERNEL(group_norm, forward, cpu, float, GroupNormForward);
GRAFT_KERNEL(group_norm, backward, cpu, float, GroupNormBackward);
GRAFT_KERNEL(batch_norm, forward, cpu, float, BatchNormForward);
GRAFT_KERNEL(batch_norm, backward, cpu, float, BatchNormBackward);
GRAFT_KERNEL(batch_norm_frozen, forward, cpu, float, BatchNormFrozenForward);
GRAFT_KERNEL(batch_norm_frozen, backward, cpu, float, BatchNormFrozenBackward);

}  // namespace graft::cpu
#endif
