#include "kernels/conv2d/depthwise_conv2d_kernels.cuh"
