#include "kernels/copy/permute_kernels.cuh"
