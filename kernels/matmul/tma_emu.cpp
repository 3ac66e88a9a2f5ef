#include "kernels/matmul/tma_kernels.cuh"
