// Version 9 of conv2d (halo_kernels.cuh, halo_wgrad_kernels.cuh), Hopper: kernels larger than a pixel, with stride 1.
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/simt.h"
#include "kernels/conv2d/conv2d.h"

namespace graft::GRAFT_GPU {

// Whether some tile of the image and what lies around it fits into shared memory; tensors at multiples of 16 bytes.
bool supports_halo(const Conv2dParams&, Pass forward_or_dgrad);
bool supports_halo_wgrad(const Conv2dParams&);
bool pays_halo(const Conv2dParams&, Pass forward_or_dgrad);
bool pays_halo_wgrad(const Conv2dParams&);
void halo_forward(Context&, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight, const BFloat16* bias,
                  const BFloat16* residual, const Conv2dParams&);
void halo_dgrad(Context&, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others, const Conv2dParams&);
void halo_wgrad(Context&, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams&);

}  // namespace graft::GRAFT_GPU
