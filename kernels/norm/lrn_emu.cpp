#include "kernels/norm/lrn_kernels.cuh"
