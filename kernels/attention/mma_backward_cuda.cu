#include "kernels/attention/mma_backward_kernels.cuh"
