// What nvcc leaves to the host compiler: the format strings of errors (libfmt 9 does not compile there).
#pragma once
#include <cstddef>

namespace graft::cuda {

[[noreturn]] void throw_no_scratch(size_t bytes, const char* reason);  // DeviceError

}  // namespace graft::cuda
