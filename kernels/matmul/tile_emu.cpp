#include "kernels/matmul/tile_kernels.cuh"
