#include "kernels/conv2d/conv2d_kernels.cuh"
