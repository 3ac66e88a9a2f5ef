// The boundary of the module that holds oneDNN (onednn_module.cpp): C functions, found by name when it is loaded.
#pragma once
#include <vector>

#include "kernels/conv2d/conv2d.h"

extern "C" {
const char* graft_onednn_version();
void graft_onednn_threads(int threads);                                               // also wakes them
void* graft_onednn_convolution(const graft::Conv2dParams*, int pass, int with_bias);  // null: not supported
void graft_onednn_convolve(void* convolution, int pass, std::vector<void*>* args);    // args of Graft's signature
void graft_onednn_destroy(void* convolution);
int graft_onednn_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                       float beta, float* c, int64_t ldc);
}
