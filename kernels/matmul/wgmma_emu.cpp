#include "kernels/matmul/wgmma_kernels.cuh"
