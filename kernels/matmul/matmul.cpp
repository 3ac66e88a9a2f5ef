#include "kernels/common/registry.h"
#include "kernels/matmul/linear_ref.h"
#include "kernels/matmul/matmul_ref.h"

namespace graft {

GRAFT_REF_KERNEL(matmul, forward, MatmulForward);
GRAFT_REF_KERNEL(linear, forward, LinearForward);
GRAFT_REF_KERNEL(linear, dgrad, LinearDgrad);
GRAFT_REF_KERNEL(linear, wgrad, LinearWgrad);

}  // namespace graft
