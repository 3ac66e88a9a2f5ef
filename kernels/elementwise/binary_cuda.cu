#include "kernels/elementwise/binary_kernels.cuh"
