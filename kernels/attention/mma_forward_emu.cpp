#include "kernels/attention/mma_forward_kernels.cuh"
