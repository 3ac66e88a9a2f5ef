#include "kernels/common/error.h"
#include "kernels/common/registry.h"
#include "kernels/loss/loss_ref.h"

namespace graft {

void check_labels(const char* op, const int64_t* labels, int64_t n, int64_t classes) {
  for (int64_t i = 0; i < n; ++i)
    check<ShapeError>(labels[i] >= 0 && labels[i] < classes, "{}: labels: row {}: expected 0 to {}, got {}", op, i, classes - 1,
                      labels[i]);
}

GRAFT_REF_KERNEL(cross_entropy, forward, CrossEntropyForward);
GRAFT_REF_KERNEL(cross_entropy, backward, CrossEntropyBackward);
GRAFT_REF_KERNEL(mse, forward, MseForward);
GRAFT_REF_KERNEL(mse, backward, MseBackward);

}  // namespace graft
