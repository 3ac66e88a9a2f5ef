#pragma once
#include <cstddef>
#include <cstdint>

namespace graft::cuda {

// n values of 1, 2, 4 or 8 bytes.
void fill_values(void* to, const void* value, size_t value_bytes, int64_t n, void* stream);

}  // namespace graft::cuda
