#include "kernels/optim/global_norm_kernels.cuh"
