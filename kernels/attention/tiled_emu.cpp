#include "kernels/attention/tiled_kernels.cuh"
