#include "kernels/copy/copy_blocks_kernels.cuh"
