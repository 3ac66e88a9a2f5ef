#include "kernels/common/registry.h"
#include "kernels/norm/norm_ref.h"

namespace graft {

GRAFT_REF_KERNEL(batch_norm, forward, BatchNormForward);
GRAFT_REF_KERNEL(batch_norm, backward, BatchNormBackward);
GRAFT_REF_KERNEL(batch_norm_frozen, forward, BatchNormFrozenForward);
GRAFT_REF_KERNEL(batch_norm_frozen, backward, BatchNormFrozenBackward);
GRAFT_REF_KERNEL(group_norm, forward, GroupNormForward);
GRAFT_REF_KERNEL(group_norm, backward, GroupNormBackward);
GRAFT_REF_KERNEL(layer_norm, forward, LayerNormForward);
GRAFT_REF_KERNEL(layer_norm, backward, LayerNormBackward);
GRAFT_REF_KERNEL(lrn, forward, LrnForward);
GRAFT_REF_KERNEL(lrn, backward, LrnBackward);

}  // namespace graft
