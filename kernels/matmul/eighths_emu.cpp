#include "kernels/matmul/eighths_kernels.cuh"
