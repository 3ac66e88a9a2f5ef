#include "kernels/norm/batch_norm_kernels.cuh"
