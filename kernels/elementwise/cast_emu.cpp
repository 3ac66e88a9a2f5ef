#include "kernels/elementwise/cast_kernels.cuh"
