// softmax and log_softmax of rows, formulas in softmax.h; f32 and bf16, arithmetic in f32.
//
// v1 warp        a warp a row: shuffles add up, no shared memory, no barrier; three reads of the row forward, two of each operand
//                backward; accepts all
// v2 block       rows over 1024: a block a row, as many loads in flight as the row is long. Forward takes maximum and sum in one
//                pass: a new maximum rescales the sum so far (Milakov & Gimelshein 2018); two reads
// v3 registers   the row stays in the registers of a warp or a block (kernels/common/rows.cuh): one read. Rows in units of 16
//                bytes, up to 32,768 columns forward and 16,384 backward
//
// Bytes an element by v3: forward 8 in f32, 4 in bf16; backward 12 and 6.
#include <cfloat>

#include "kernels/common/registry.h"
#include "kernels/common/rows.cuh"
#include "kernels/common/versions.h"
#include "kernels/softmax/softmax.h"

namespace graft::GRAFT_GPU {
namespace {

enum class Form { softmax, log_softmax };
using Threads = Block<256>;
constexpr int64_t kLongRow = 1024;
constexpr int kForwardValues = 32, kBackwardValues = 16;  // of one operand in a thread of a block

template <Form kForm>
__device__ float result(float x, float max, float scale, float log_sum) {
  return kForm == Form::softmax ? expf(x - max) * scale : x - max - log_sum;
}
template <Form kForm>
__device__ float term(float dy, float y) {
  return kForm == Form::softmax ? dy * y : dy;
}
template <Form kForm>
__device__ float gradient(float dy, float y, float sum) {
  return kForm == Form::softmax ? y * (dy - sum) : dy - expf(y) * sum;
}

template <Form kForm, class T>
__global__ void __launch_bounds__(32 * Warp::kRows) softmax_forward_v1(T* y, const T* x, SoftmaxParams p) {
  const int64_t r = Warp::row();
  if (r >= p.rows) return;  // of a warp all or none
  x += r * p.cols, y += r * p.cols;
  float max = -INFINITY, sum = 0;
  for (int64_t c = threadIdx.x; c < p.cols; c += 32) max = max_nan(max, to_float(x[c]));
  max = warp_max(max);
  for (int64_t c = threadIdx.x; c < p.cols; c += 32) sum += expf(to_float(x[c]) - max);
  sum = warp_sum(sum);
  for (int64_t c = threadIdx.x; c < p.cols; c += 32) y[c] = from_float<T>(result<kForm>(to_float(x[c]), max, 1 / sum, logf(sum)));
}

template <Form kForm, class T>
__global__ void __launch_bounds__(Threads::kSize) softmax_forward_v2(T* y, const T* x, SoftmaxParams p) {
  x += blockIdx.x * p.cols, y += blockIdx.x * p.cols;
  float max = -FLT_MAX, sum = 0;  // -INFINITY less itself would be NaN where a row begins with -INFINITY
  for (int64_t c = threadIdx.x; c < p.cols; c += Threads::kSize) {
    const float v = to_float(x[c]), above = max_nan(max, v);
    sum = sum * expf(max - above) + expf(v - above);
    max = above;
  }
  const float all = Threads::max(max);
  sum = Threads::sum(sum * expf(max - all));
  for (int64_t c = threadIdx.x; c < p.cols; c += Threads::kSize)
    y[c] = from_float<T>(result<kForm>(to_float(x[c]), all, 1 / sum, logf(sum)));
}

template <Form kForm, class Team, int kValues, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows) softmax_forward_v3(T* y, const T* x, SoftmaxParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;
  RowRegisters<Team, T, kValues> row;
  row.read(x + r * p.cols, p.cols, -INFINITY);
  float max = -INFINITY, sum = 0;
  row.each([&](float v, int, int) { max = max_nan(max, v); });
  max = Team::max(max);
  row.each([&](float& v, int, int) {
    const float e = expf(v - max);
    sum += e;
    if (kForm == Form::softmax) v = e;
  });
  sum = Team::sum(sum);
  const float scale = 1 / sum, log_sum = logf(sum);
  row.each([&](float& v, int, int) { v = kForm == Form::softmax ? v * scale : v - max - log_sum; });
  row.write(y + r * p.cols, p.cols);
}

template <Form kForm, class Team, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows)
    softmax_backward_v1_v2(T* dx, const T* dy, const T* y, SoftmaxParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;
  dx += r * p.cols, dy += r * p.cols, y += r * p.cols;
  float sum = 0;
  for (int64_t c = threadIdx.x; c < p.cols; c += Team::kSize) sum += term<kForm>(to_float(dy[c]), to_float(y[c]));
  sum = Team::sum(sum);
  for (int64_t c = threadIdx.x; c < p.cols; c += Team::kSize)
    dx[c] = from_float<T>(gradient<kForm>(to_float(dy[c]), to_float(y[c]), sum));
}

template <Form kForm, class Team, int kValues, class T>
__global__ void __launch_bounds__(Team::kSize* Team::kRows) softmax_backward_v3(T* dx, const T* dy, const T* y, SoftmaxParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;
  RowRegisters<Team, T, kValues> g, out;
  g.read(dy + r * p.cols, p.cols, 0);
  out.read(y + r * p.cols, p.cols, 0);
  float sum = 0;
  g.each([&](float v, int i, int j) { sum += term<kForm>(v, out.v[i][j]); });
  sum = Team::sum(sum);
  g.each([&](float& v, int i, int j) { v = gradient<kForm>(v, out.v[i][j], sum); });
  g.write(dx + r * p.cols, p.cols);
}

template <Form kForm, class T>
struct Forward {
  static void v1(Context& c, T* y, const T* x, const SoftmaxParams& p) {
    launch_rows<Warp>(c, p.rows, softmax_forward_v1<kForm, T>, y, x, p);
  }
  static bool supports_v2(T*, const T*, const SoftmaxParams& p) { return p.cols > kLongRow; }
  static void v2(Context& c, T* y, const T* x, const SoftmaxParams& p) {
    launch_rows<Threads>(c, p.rows, softmax_forward_v2<kForm, T>, y, x, p);
  }
  static bool supports_v3(T* y, const T* x, const SoftmaxParams& p) {
    return aligned_16(y, x) && rows_fit<kForwardValues, T>(p.cols);
  }
  static void v3(Context& c, T* y, const T* x, const SoftmaxParams& p) {
    with_row_team<kForwardValues>(p.cols, [&]<class Team, int kValues>() {
      launch_rows<Team>(c, p.rows, softmax_forward_v3<kForm, Team, kValues, T>, y, x, p);
    });
  }
  static constexpr Rung<SoftmaxForward<T>> kLadder[3] = {
      {{1, "warp"}, accepts_all, v1},
      {{2, "block"}, supports_v2, v2},
      {{3, "registers"}, supports_v3, v3},
  };
};

template <Form kForm, class T>
struct Backward {
  static void v1(Context& c, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
    launch_rows<Warp>(c, p.rows, softmax_backward_v1_v2<kForm, Warp, T>, dx, dy, y, p);
  }
  static bool supports_v2(T*, const T*, const T*, const SoftmaxParams& p) { return p.cols > kLongRow; }
  static void v2(Context& c, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
    launch_rows<Threads>(c, p.rows, softmax_backward_v1_v2<kForm, Threads, T>, dx, dy, y, p);
  }
  static bool supports_v3(T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
    return aligned_16(dx, dy, y) && rows_fit<kBackwardValues, T>(p.cols);
  }
  static void v3(Context& c, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
    with_row_team<kBackwardValues>(p.cols, [&]<class Team, int kValues>() {
      launch_rows<Team>(c, p.rows, softmax_backward_v3<kForm, Team, kValues, T>, dx, dy, y, p);
    });
  }
  static constexpr Rung<SoftmaxBackward<T>> kLadder[3] = {
      {{1, "warp"}, accepts_all, v1},
      {{2, "block"}, supports_v2, v2},
      {{3, "registers"}, supports_v3, v3},
  };
};

template <class T>
constexpr auto& kSoftmaxForward = Forward<Form::softmax, T>::kLadder;
template <class T>
constexpr auto& kLogSoftmaxForward = Forward<Form::log_softmax, T>::kLadder;
template <class T>
constexpr auto& kSoftmaxBackward = Backward<Form::softmax, T>::kLadder;
template <class T>
constexpr auto& kLogSoftmaxBackward = Backward<Form::log_softmax, T>::kLadder;

}  // namespace

template <class T>
void softmax_forward(Context& c, T* y, const T* x, const SoftmaxParams& p) {
  if (p.rows > 0 && p.cols > 0) run_version(Op::softmax, kSoftmaxForward<T>, c, y, x, p);
}
template <class T>
void softmax_backward(Context& c, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
  if (p.rows > 0 && p.cols > 0) run_version(Op::softmax, kSoftmaxBackward<T>, c, dx, dy, y, p);
}
template <class T>
void log_softmax_forward(Context& c, T* y, const T* x, const SoftmaxParams& p) {
  if (p.rows > 0 && p.cols > 0) run_version(Op::log_softmax, kLogSoftmaxForward<T>, c, y, x, p);
}
template <class T>
void log_softmax_backward(Context& c, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
  if (p.rows > 0 && p.cols > 0) run_version(Op::log_softmax, kLogSoftmaxBackward<T>, c, dx, dy, y, p);
}

GRAFT_GPU_KERNEL(softmax, forward, SoftmaxForward, kSoftmaxForward);
GRAFT_GPU_KERNEL(softmax, backward, SoftmaxBackward, kSoftmaxBackward);
GRAFT_GPU_KERNEL(log_softmax, forward, SoftmaxForward, kLogSoftmaxForward);
GRAFT_GPU_KERNEL(log_softmax, backward, SoftmaxBackward, kLogSoftmaxBackward);

}  // namespace graft::GRAFT_GPU
