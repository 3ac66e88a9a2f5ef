#include "kernels/conv2d/halo_wgrad_kernels.cuh"
