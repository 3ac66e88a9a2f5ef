#include "kernels/norm/layer_norm_kernels.cuh"
