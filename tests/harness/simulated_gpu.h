// Device cuda without a GPU: its memory is that of FakeGpu, its kernels are those of emu. What works here and on emu has moved
// every tensor by copies; a pointer that the host follows by mistake is a DeviceError.
#pragma once
#include "kernels/common/registry.h"
#include "kernels/common/stand_in.h"
#include "kernels/runtime/cuda/memory.h"
#include "tests/harness/fake_gpu.h"

namespace graft::harness {

class SimulatedGpu {
 public:
  SimulatedGpu()
      : devices_([] {
          std::vector<std::unique_ptr<cuda::Driver>> all;
          all.push_back(std::make_unique<FakeGpu>(size_t{1} << 30, FakeGpu::Mode::at_once));
          return all;
        }()) {}
  // A build with real kernels for cuda, or without those of emu, cannot be simulated.
  static bool possible() { return !cuda::built_in() && has_kernel(Op::conv2d, Pass::forward, Backend::emu, DType::f32); }

 private:
  cuda::TestDevices devices_;
  StandIn kernels_{Backend::emu, Backend::cuda};
};

}  // namespace graft::harness
