// The arithmetic and the memory of a GPU at their limits. Launched on a stream (cudaStream_t); flops or bytes are returned.
#pragma once
#include <cstdint>

namespace graft::bench {

double launch_fma(void* stream, float* sink, int multiprocessors);
double launch_copy(void* stream, float* y, const float* x, int64_t floats);                   // floats: a multiple of 4
double launch_triad(void* stream, float* y, const float* a, const float* b, int64_t floats);  // the same

}  // namespace graft::bench
