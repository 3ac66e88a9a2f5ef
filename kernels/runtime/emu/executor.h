// Between the CUDA built-ins (cuda.h) and the executor (executor.cpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(int64_t x = 1, int64_t y = 1, int64_t z = 1) : x(unsigned(x)), y(unsigned(y)), z(unsigned(z)) {}
};
// Real variables, so gdb can say: break kernel if threadIdx.x == 37
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace graft {
class Context;
}

namespace graft::emu {

using Where = std::source_location;

struct Launch {
  const void* kernel;  // its address, for its name
  dim3 grid, cluster, block;
  size_t shared_bytes;
  const Context* context;
  const void* params;
  size_t params_bytes;
  void (*body)(const Launch&);  // runs one CUDA thread
};
void run(const Launch&);  // throws KernelFault, or Error for a launch that CUDA would refuse

// What a running CUDA thread asks for.
enum class WarpOp : uint8_t { sync, shuffle, ballot, instruction };
uint64_t warp_op(WarpOp, unsigned mask, uint64_t value, int source, Where);  // the value of lane `source`, or the ballot
// All 32 lanes meet with their data, or all 128 threads of a warpgroup; `finish` works on it.
using Finish = void (*)(void* const* lanes);
void warp_instruction(Finish finish, void* data, Where);
void warpgroup_instruction(Finish finish, void* data, Where);
void barrier(int id, int threads, bool wait, Where);  // threads = 0: all that have not exited
int barrier_count(bool predicate, Where);
void* shared_bytes(const void* key, size_t bytes, size_t align, Where);
void* dynamic_shared_bytes();
void atomic_access(void* address, size_t bytes, Where);
void fence();
void yield();
int current_thread();                 // within the cluster
int current_lane();                   // of its warp
uint64_t cluster_serial();            // another one for each cluster (or block) that has run
void fault(const std::string& what);  // of the current thread; does not return while a kernel runs
// One access of the running thread: races, bounds. pc: return address in the kernel, or `where` is given.
void access(const void* address, size_t bytes, bool write, bool atomic, const void* pc, const Where* where);
// 16 aligned bytes of shared memory are written by an asynchronous copy: NaN until its end, and nobody may touch them.
void async_start(void* shared, const void* pc);
void async_end(void* shared);

}  // namespace graft::emu
