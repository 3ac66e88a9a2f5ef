#include "kernels/matmul/linear_kernels.cuh"
