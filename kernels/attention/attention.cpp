#include "kernels/attention/attention_ref.h"
#include "kernels/common/registry.h"

namespace graft {

GRAFT_REF_KERNEL(attention, forward, AttentionForward);
GRAFT_REF_KERNEL(attention, backward, AttentionBackward);

}  // namespace graft
