#include "kernels/attention/wgmma_backward_kernels.cuh"
