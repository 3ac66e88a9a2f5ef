#include "kernels/common/registry.h"
#include "kernels/elementwise/cast_ref.h"

namespace graft {

GRAFT_REF_KERNEL(cast, forward, CastForward);
GRAFT_REF_KERNEL(cast, backward, CastBackward);

}  // namespace graft
