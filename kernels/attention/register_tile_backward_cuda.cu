#include "kernels/attention/register_tile_backward_kernels.cuh"
