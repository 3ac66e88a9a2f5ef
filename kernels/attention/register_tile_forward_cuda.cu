#include "kernels/attention/register_tile_forward_kernels.cuh"
