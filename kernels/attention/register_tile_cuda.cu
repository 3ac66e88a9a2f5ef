#include "kernels/attention/register_tile_kernels.cuh"
