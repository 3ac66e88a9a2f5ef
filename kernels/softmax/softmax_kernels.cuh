// softmax and log_softmax of rows, formulas in softmax.h; three passes over a row forward, two backward.
//   v1  one warp a row: shuffles add up, no shared memory, no barrier; accepts all
//   v2  one block a row: as many loads in flight as the row is long; rows over 1024
#include "kernels/common/registry.h"
#include "kernels/common/simt.h"
#include "kernels/softmax/softmax.h"

namespace graft::GRAFT_GPU {
namespace {

enum class Form { softmax, log_softmax };
constexpr int kThreads = 256, kRowsPerBlock = 4;
constexpr int64_t kLongRow = 1024;

struct Warp {  // who works on a row together
  static __device__ int64_t row() { return int64_t(blockIdx.x) * kRowsPerBlock + threadIdx.y; }
  static __device__ float sum(float v) { return warp_sum(v); }
  static __device__ float max(float v) { return warp_max(v); }
};
struct Block {
  static __device__ int64_t row() { return blockIdx.x; }
  static __device__ float sum(float v) { return block_sum<kThreads>(v); }
  static __device__ float max(float v) { return block_max<kThreads>(v); }
};

template <Form kForm, class Team>
__device__ void forward_row(float* y, const float* x, SoftmaxParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;  // of a warp all or none
  x += r * p.cols, y += r * p.cols;
  float max = -INFINITY, sum = 0;
  for (int64_t c = threadIdx.x; c < p.cols; c += blockDim.x) max = max_nan(max, x[c]);
  max = Team::max(max);
  for (int64_t c = threadIdx.x; c < p.cols; c += blockDim.x) sum += expf(x[c] - max);
  sum = Team::sum(sum);
  const float scale = 1 / sum, log_sum = logf(sum);
  for (int64_t c = threadIdx.x; c < p.cols; c += blockDim.x)
    y[c] = kForm == Form::softmax ? expf(x[c] - max) * scale : x[c] - max - log_sum;
}

template <Form kForm, class Team>
__device__ void backward_row(float* dx, const float* dy, const float* y, SoftmaxParams p) {
  const int64_t r = Team::row();
  if (r >= p.rows) return;
  dx += r * p.cols, dy += r * p.cols, y += r * p.cols;
  float sum = 0;
  for (int64_t c = threadIdx.x; c < p.cols; c += blockDim.x) sum += kForm == Form::softmax ? dy[c] * y[c] : dy[c];
  sum = Team::sum(sum);
  for (int64_t c = threadIdx.x; c < p.cols; c += blockDim.x)
    dx[c] = kForm == Form::softmax ? y[c] * (dy[c] - sum) : dy[c] - expf(y[c]) * sum;
}

template <Form kForm>
__global__ void __launch_bounds__(32 * kRowsPerBlock) softmax_forward_v1(float* y, const float* x, SoftmaxParams p) {
  forward_row<kForm, Warp>(y, x, p);
}
template <Form kForm>
__global__ void __launch_bounds__(kThreads) softmax_forward_v2(float* y, const float* x, SoftmaxParams p) {
  forward_row<kForm, Block>(y, x, p);
}
template <Form kForm>
__global__ void __launch_bounds__(32 * kRowsPerBlock)
    softmax_backward_v1(float* dx, const float* dy, const float* y, SoftmaxParams p) {
  backward_row<kForm, Warp>(dx, dy, y, p);
}
template <Form kForm>
__global__ void __launch_bounds__(kThreads) softmax_backward_v2(float* dx, const float* dy, const float* y, SoftmaxParams p) {
  backward_row<kForm, Block>(dx, dy, y, p);
}

template <Form kForm>
void forward(Context& context, float* y, const float* x, const SoftmaxParams& p) {
  if (p.rows == 0 || p.cols == 0) return;
  if (p.cols > kLongRow) return launch(softmax_forward_v2<kForm>, dim3(unsigned(p.rows)), kThreads, 0, context, y, x, p);
  launch(softmax_forward_v1<kForm>, dim3(unsigned(ceil_div(p.rows, kRowsPerBlock))), dim3(32, kRowsPerBlock), 0, context, y, x, p);
}
template <Form kForm>
void backward(Context& context, float* dx, const float* dy, const float* y, const SoftmaxParams& p) {
  if (p.rows == 0 || p.cols == 0) return;
  if (p.cols > kLongRow) return launch(softmax_backward_v2<kForm>, dim3(unsigned(p.rows)), kThreads, 0, context, dx, dy, y, p);
  launch(softmax_backward_v1<kForm>, dim3(unsigned(ceil_div(p.rows, kRowsPerBlock))), dim3(32, kRowsPerBlock), 0, context, dx, dy,
         y, p);
}

}  // namespace

void softmax_forward(Context& c, float* y, const float* x, const SoftmaxParams& p) { forward<Form::softmax>(c, y, x, p); }
void softmax_backward(Context& c, float* dx, const float* dy, const float* y, const SoftmaxParams& p) {
  backward<Form::softmax>(c, dx, dy, y, p);
}
void log_softmax_forward(Context& c, float* y, const float* x, const SoftmaxParams& p) { forward<Form::log_softmax>(c, y, x, p); }
void log_softmax_backward(Context& c, float* dx, const float* dy, const float* y, const SoftmaxParams& p) {
  backward<Form::log_softmax>(c, dx, dy, y, p);
}

GRAFT_KERNEL(softmax, forward, GRAFT_GPU, float, SoftmaxForward);
GRAFT_KERNEL(softmax, backward, GRAFT_GPU, float, SoftmaxBackward);
GRAFT_KERNEL(log_softmax, forward, GRAFT_GPU, float, SoftmaxForward);
GRAFT_KERNEL(log_softmax, backward, GRAFT_GPU, float, SoftmaxBackward);

}  // namespace graft::GRAFT_GPU
