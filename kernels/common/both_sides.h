// Marks a function that kernels call as well as the host. Nothing but for nvcc.
#pragma once

#if defined(__CUDACC__)
#define GRAFT_BOTH_SIDES __host__ __device__
#else
#define GRAFT_BOTH_SIDES
#endif
