#include "kernels/matmul/matmul_kernels.cuh"
