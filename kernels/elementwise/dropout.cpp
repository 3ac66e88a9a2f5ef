#include "kernels/common/registry.h"
#include "kernels/elementwise/dropout_ref.h"

namespace graft {

GRAFT_REF_KERNEL(dropout, forward, DropoutForward);

}  // namespace graft
