#include "kernels/conv2d/halo_kernels.cuh"
