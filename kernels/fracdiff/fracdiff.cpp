#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/fracdiff/fracdiff_ref.h"

namespace graft {

std::vector<double> fracdiff_weights(double d, int64_t length, double floor) {
  std::vector<double> w{1};
  for (int64_t k = 1; k < length; ++k) {
    const double next = w.back() * (double(k - 1) - d) / double(k);
    if (std::abs(next) <= floor) break;
    w.push_back(next);
  }
  return w;
}

GRAFT_REF_KERNEL(fracdiff, forward, FracdiffForward);
GRAFT_REF_KERNEL(fracdiff, backward, FracdiffBackward);

}  // namespace graft
