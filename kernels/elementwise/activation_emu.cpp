#include "kernels/elementwise/activation_kernels.cuh"
