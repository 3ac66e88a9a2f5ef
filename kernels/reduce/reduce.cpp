#include "kernels/common/registry.h"
#include "kernels/reduce/reduce_ref.h"

namespace graft {

GRAFT_REF_KERNEL(reduce, forward, ReduceForward);
GRAFT_REF_KERNEL(reduce, backward, ReduceBackward);

}  // namespace graft
