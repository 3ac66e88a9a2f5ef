#include "kernels/fracdiff/fracdiff_kernels.cuh"
