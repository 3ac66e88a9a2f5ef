// y = (x - mean) rstd weight + bias over each sample's groups of channels; f32 and bf16, statistics and parameters f32.
//
// v1  one block a normalised set (group_norm.cuh)
#include "kernels/common/registry.h"
#include "kernels/norm/group_norm.cuh"

namespace graft::GRAFT_GPU {

template <class T>
void group_norm_forward(Context& context, T* y, Accumulate<T>* mean, Accumulate<T>* rstd, const T* x, const Accumulate<T>* weight,
                        const Accumulate<T>* bias, const GroupNormParams& p) {
  run_group_norm(context, y, mean, rstd, x, weight, bias, p);
}
template <class T>
void group_norm_backward(Context& context, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, const T* dy, const T* x,
                         const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* rstd,
                         const GroupNormParams& p) {
  run_group_norm_backward(context, dx, dweight, dbias, dy, x, weight, mean, rstd, static_cast<const T*>(nullptr), p);
}

GRAFT_KERNEL(group_norm, forward, GRAFT_GPU, float, GroupNormForward);
GRAFT_KERNEL(group_norm, forward, GRAFT_GPU, BFloat16, GroupNormForward);
GRAFT_KERNEL(group_norm, backward, GRAFT_GPU, float, GroupNormBackward);
GRAFT_KERNEL(group_norm, backward, GRAFT_GPU, BFloat16, GroupNormBackward);

}  // namespace graft::GRAFT_GPU
