#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby_ref.h"

namespace graft {

GRAFT_REF_KERNEL(axpby, forward, AxpbyForward);

}  // namespace graft
