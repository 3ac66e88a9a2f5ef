#include "kernels/common/registry.h"
#include "kernels/copy/copy_blocks_ref.h"

namespace graft {

GRAFT_REF_KERNEL(copy_blocks, forward, CopyBlocksForward);

}  // namespace graft
