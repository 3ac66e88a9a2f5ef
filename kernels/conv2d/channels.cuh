// Images and filters with few channels (a stem has 3) for loops that read 16 bytes at a time: a copy with zeros behind
// the channels of each pixel. It moves a fraction of what the layer itself writes, and the products with zeros are the ones
// that a tile of k would have left unused.
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/conv2d/conv2d.h"

namespace graft::GRAFT_GPU {
namespace {

// to[rows, to_channels] from from[rows, from_channels], whichever is longer: cut or filled with zeros.
template <class T>
__global__ void __launch_bounds__(kThreads)
    resize_channels_v1(T* to, const T* from, int64_t rows, int64_t to_channels, int64_t from_channels) {
  for (int64_t i = global_thread(); i < rows * to_channels; i += global_threads()) {
    const int64_t row = i / to_channels, channel = i % to_channels;
    to[i] = channel < from_channels ? from[row * from_channels + channel] : from_float<T>(0);
  }
}
template <class T>
void resize_channels(Context& context, T* to, const T* from, int64_t rows, int64_t to_channels, int64_t from_channels) {
  const int64_t n = rows * to_channels;
  if (n) launch(resize_channels_v1<T>, blocks_for(n, kThreads), kThreads, 0, context, to, from, rows, to_channels, from_channels);
}

// The convolution with c_in filled up to a multiple of 16 bytes.
template <class T>
Conv2dParams padded(const Conv2dParams& p) {
  Conv2dParams q = p;
  q.c_in = ceil_div(p.c_in, kVector<T>) * kVector<T>;
  return q;
}

}  // namespace
}  // namespace graft::GRAFT_GPU
