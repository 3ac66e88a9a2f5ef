#include "kernels/attention/attention_kernels.cuh"
