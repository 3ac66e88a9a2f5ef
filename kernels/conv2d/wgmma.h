// Versions 7 and 8 of conv2d (wgmma_kernels.cuh), Hopper: convolutions that are no product of matrices as they lie in memory.
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/simt.h"
#include "kernels/conv2d/conv2d.h"

namespace graft::GRAFT_GPU {

// Whether TMA finds the patches; tensors at multiples of 16 bytes.
bool supports_wgmma(const Conv2dParams&, Pass);
bool pays_wgmma(const Conv2dParams&, Pass);
// statistics: y and residual at multiples of 16 bytes, channels of a group in units of 16.
void wgmma_forward(Context&, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight, const BFloat16* bias,
                   const BFloat16* residual, const Conv2dParams&);
// Version 8. Not statistics of what a residual or gelu is part of.
bool supports_persistent_patches(const Conv2dParams&, const BFloat16* residual, const float* statistics);
bool pays_persistent_patches(const Conv2dParams&, const BFloat16* residual, const float* statistics);
void persistent_forward(Context&, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight, const BFloat16* bias,
                        const BFloat16* residual, const Conv2dParams&);
bool pays_persistent_dgrad(const Conv2dParams&, const BFloat16* others);  // accepts what version 7 does
void persistent_dgrad(Context&, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others,
                      const Conv2dParams&);       // as wgmma_dgrad
bool pays_persistent_wgrad(const Conv2dParams&);  // accepts what version 7 does
void persistent_wgrad(Context&, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams&);
// Leaves out the pixels that no tap meets.
void wgmma_dgrad(Context&, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others, const Conv2dParams&);
void wgmma_wgrad(Context&, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams&);

// Version 10, forward and wgrad (space_to_depth.cuh): few channels, stride 2. Where x holds NaN or infinity, results may be NaN
// that are up to a pixel further away than the kernel reaches.
bool supports_space_to_depth(const Conv2dParams&, Pass);
void space_to_depth_forward(Context&, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                            const BFloat16* bias, const BFloat16* residual, const Conv2dParams&);
void space_to_depth_wgrad(Context&, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams&);

}  // namespace graft::GRAFT_GPU
