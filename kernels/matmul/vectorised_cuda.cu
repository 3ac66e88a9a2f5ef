#include "kernels/matmul/vectorised_kernels.cuh"
