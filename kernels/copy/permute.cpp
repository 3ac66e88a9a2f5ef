#include "kernels/common/registry.h"
#include "kernels/copy/permute_ref.h"

namespace graft {

GRAFT_REF_KERNEL(permute, forward, PermuteForward);

}  // namespace graft
