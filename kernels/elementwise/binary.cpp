#include "kernels/common/registry.h"
#include "kernels/elementwise/binary_ref.h"

namespace graft {

GRAFT_REF_KERNEL(binary, forward, BinaryForward);
GRAFT_REF_KERNEL(binary, backward, BinaryBackward);

}  // namespace graft
