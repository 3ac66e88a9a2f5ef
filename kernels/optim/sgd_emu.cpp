#include "kernels/optim/sgd_kernels.cuh"
