// What changes from step to step, in the memory that the kernels read: a CUDA graph captured once replays steps, and whoever
// replays it writes the next rate and number here before. global_norm writes `squares`.
#pragma once
#include <cmath>
#include <cstdint>

namespace graft {

struct StepState {
  double lr = 1;        // times each tensor's own rate
  int64_t step = 1;     // of this step: the first is 1
  double max_norm = 0;  // gradients are scaled by max_norm / (norm + 1e-6) where their norm is larger; 0: they are not
  double squares = 0;   // of the norm
};

// A norm that is not finite scales nothing: the divergence has to show.
inline double clip_factor(const StepState& s) {
  const double norm = std::sqrt(s.squares);
  return s.max_norm > 0 && norm > s.max_norm && std::isfinite(norm) ? s.max_norm / (norm + 1e-6) : 1.0;
}

}  // namespace graft
