#include "kernels/matmul/mma_kernels.cuh"
