// The instruction set that the cpu kernels run with: the best of the machine, or GRAFT_TARGET=AVX3 | AVX2 | EMU128.
#pragma once
#include <string_view>

namespace graft::cpu {

std::string_view target();  // Highway's name of it: part of every result's identity

}  // namespace graft::cpu
