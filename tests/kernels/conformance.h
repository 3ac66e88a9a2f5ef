// Does the executor do what the GPU does? Each wrapper of kernels/common/ptx.h, and the warp built-ins, in a kernel of one warp
// with random inputs: the same text for emu and cuda (conformance.cuh), the results compared (conformance_test_cuda.cpp).
#pragma once
#include <span>

#include "kernels/common/context.h"

namespace graft::conformance {

enum class Fill { bits, bf16, f16, floats };  // of a word: anything, two bf16, two halves or one float, of normal size

struct Wrapper {
  const char* name;
  int in, out;  // words
  Fill fill;
  int sums = 0;  // > 0: out are floats, sums of so many products; the GPU does not say how it rounds them
  void (*run)(Context&, uint32_t* out, const uint32_t* in);
  bool adds = false;  // the last four of ten words of a lane are floats that are added to
};

}  // namespace graft::conformance

namespace graft::emu {
std::span<const conformance::Wrapper> conformance_wrappers(), conformance_hopper_wrappers();
}
namespace graft::cuda {
std::span<const conformance::Wrapper> conformance_wrappers(), conformance_hopper_wrappers();
}
