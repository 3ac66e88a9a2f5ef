// Host memory of tensors and scratch: 64-byte aligned blocks, kept in free lists, so a training step asks the system
// for nothing after its first pass (page faults cost as much as a kernel).
#pragma once
#include <cstddef>

namespace graft::cpu {

void* allocate(size_t bytes);  // 64-byte aligned; throws Error when the system refuses
void deallocate(void* p, size_t bytes);
void release_cached();  // gives the free lists back to the system

// Tests: fill every new block with 0xFF bytes (NaN in every float type), so what is not written shows.
void set_poison(bool on);

}  // namespace graft::cpu
