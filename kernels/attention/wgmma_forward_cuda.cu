#include "kernels/attention/wgmma_forward_kernels.cuh"
