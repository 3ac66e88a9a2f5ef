#include "kernels/embedding/embedding_kernels.cuh"
