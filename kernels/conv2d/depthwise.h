// The shared shape of the depthwise loops; see depthwise_conv2d_cpu.cpp.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace graft::cpu {

struct AxisTap {
  int64_t source, k;  // position in the source, index in the kernel
};

// For every output position of one axis, the taps that fall inside the source.
class AxisTaps {
 public:
  // source(position, k) is negative outside.
  template <class F>
  AxisTaps(int64_t positions, int64_t kernel, F source) {
    for (int64_t i = 0; i < positions; ++i) {
      for (int64_t k = 0; k < kernel; ++k)
        if (const int64_t s = source(i, k); s >= 0) taps_.push_back({s, k});
      end_.push_back(taps_.size());
    }
  }
  std::span<const AxisTap> at(int64_t i) const {
    const size_t begin = i == 0 ? 0 : end_[size_t(i - 1)];
    return {taps_.data() + begin, end_[size_t(i)] - begin};
  }

 private:
  std::vector<AxisTap> taps_;
  std::vector<size_t> end_;
};

struct DepthwiseGather {
  int64_t c, out_h, out_w, source_h, source_w, kw;
  AxisTaps rows, cols;
  const float* weight;  // [kh][kw][c]
  const float* bias;    // [c] or null
  bool relu;
};

}  // namespace graft::cpu
