#include "kernels/loss/cross_entropy_inplace_kernels.cuh"
