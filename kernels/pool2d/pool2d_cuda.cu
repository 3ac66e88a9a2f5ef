#include "kernels/pool2d/pool2d_kernels.cuh"
