#include "kernels/conv2d/wgmma_kernels.cuh"
