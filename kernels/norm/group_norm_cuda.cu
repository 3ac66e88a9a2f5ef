#include "kernels/norm/group_norm_kernels.cuh"
