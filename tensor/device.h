// Which device: what the user says, what this machine has, and what results call it.
#pragma once
#include <string_view>

#include "tensor/tensor.h"

namespace graft {

// "cpu", "ref", "emu", "cuda" or "cuda:1". ConfigError for another text, DeviceError with the reason where no such device is.
Device device_from_name(std::string_view);

// GRAFT_DEVICE; else cuda where the build has its kernels and the machine a GPU, else cpu. A build with CUDA kernels that finds
// no GPU says so, once.
Device default_device();

// What computes, as part of a result's identity: "AVX3" (the cpu's instruction set), "emu", "cuda sm_90 NVIDIA H100 80GB HBM3".
std::string target(Device);

}  // namespace graft
