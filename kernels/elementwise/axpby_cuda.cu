#include "kernels/elementwise/axpby_kernels.cuh"
