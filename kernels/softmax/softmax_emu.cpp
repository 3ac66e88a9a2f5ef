#include "kernels/softmax/softmax_kernels.cuh"
