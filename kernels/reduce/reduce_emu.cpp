#include "kernels/reduce/reduce_kernels.cuh"
