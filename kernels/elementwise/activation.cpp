#include "kernels/common/registry.h"
#include "kernels/elementwise/activation_ref.h"

namespace graft {

GRAFT_REF_KERNEL(activation, forward, ActivationForward);
GRAFT_REF_KERNEL(activation, backward, ActivationBackward);

}  // namespace graft
