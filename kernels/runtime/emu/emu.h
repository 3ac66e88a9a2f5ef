// The executor of CUDA kernels on the host: every CUDA thread is a fiber; blocks run one after the other on the calling
// OS thread. A debugging and CI device: never an oracle, never a speed claim. What it says of races follows the CUDA
// programming model; no vector of it has been compared with hardware.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/common/error.h"

namespace graft::emu {

// A fault of a kernel, with kernel, block, thread and source line. The launch is over; its outputs are undefined.
struct KernelFault : Error {
  using Error::Error;
};

struct Options {
  // 0: blocks and threads in order. Otherwise a random order of blocks, warps and lanes, where a warp runs as far ahead
  // as it can before the next is looked at: what finds a missing barrier by a wrong result.
  uint64_t seed = 0;
  bool check_memory = true;  // races, bounds, alignment; see observes()
};
Options& options();  // seed from GRAFT_EMU_SEED where it is set

// Whether this build sees the memory accesses of kernels (g++ without a sanitizer: the hooks of -fsanitize=thread are ours).
bool observes();

// Global memory as a kernel may touch it. As soon as one range is visible, an access outside of all ranges, of the
// context's scratch, of shared memory and of static data is a fault.
class Visible {
 public:
  Visible(const void* data, size_t bytes);
  ~Visible();
  Visible(Visible&&) noexcept;
  Visible(const Visible&) = delete;

 private:
  const void* data_;
};

}  // namespace graft::emu
