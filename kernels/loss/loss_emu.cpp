#include "kernels/loss/loss_kernels.cuh"
