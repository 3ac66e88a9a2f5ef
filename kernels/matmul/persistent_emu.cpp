#include "kernels/matmul/persistent_kernels.cuh"
