#include "kernels/elementwise/dropout_kernels.cuh"
