#include "kernels/optim/adamw_kernels.cuh"
