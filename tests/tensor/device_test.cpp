// Tensors on cuda, by a simulated GPU: every way to and from the host is a copy, and nothing else works.
#include <doctest/doctest.h>

#include "tensor/device.h"
#include "tensor/ops/axpby.h"
#include "tests/harness/simulated_gpu.h"
#include "tests/harness/skip.h"

using namespace graft;
using harness::SimulatedGpu;

namespace {
constexpr Device kCuda{Backend::cuda};
}

#define REQUIRE_SIMULATION                                                                                         \
  if (!SimulatedGpu::possible()) return harness::not_run("this build has real kernels for cuda, or none for emu"); \
  SimulatedGpu simulated

TEST_CASE("device: tensors on cuda are copied there and back") {
  REQUIRE_SIMULATION;
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2}, kCuda);
  CHECK(x.device() == kCuda);
  CHECK(x.to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(x.str() == "f32[3, 2] on cuda: 1, 2, 3, 4, 5, 6");
  CHECK(x.rows(1, 2).to_vector<float>() == std::vector<float>{3, 4});
  CHECK(x.rows(1, 2).host().span<float>()[1] == 4);
  const Tensor copy = x.clone(), home = x.to(Device{}), emu = x.to(Device{Backend::emu});
  CHECK(emu.to(kCuda).to_vector<float>() == x.to_vector<float>());
  x.fill(7);
  CHECK(x.to_vector<float>() == std::vector<float>(6, 7));
  CHECK(copy.to_vector<float>() == home.to_vector<float>());
  x.copy_from(home);
  CHECK(x.to_vector<float>() == home.to_vector<float>());
  home.fill(0.5);
  home.copy_from(x);
  CHECK(home.span<float>()[5] == 6);
  CHECK(Tensor::full({1}, 2.5, DType::f64, kCuda).item() == 2.5);
  for (DType t : {DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8}) {
    INFO(name(t));
    const Tensor y = x.to(t);
    CHECK(y.device() == kCuda);
    CHECK(y.to_vector<double>() == x.to_vector<double>());
    y.fill(3);
    CHECK(y.to_vector<double>() == std::vector<double>(6, 3));
    y.copy_from(home);
    CHECK(y.to_vector<double>() == home.to_vector<double>());
  }
  CHECK(Tensor::empty({0, 4}, DType::f32, kCuda).to_vector<float>().empty());
}

TEST_CASE("device: the host cannot follow a pointer into cuda's memory") {
  REQUIRE_SIMULATION;
  const Tensor x = Tensor::zeros({2}, DType::f32, kCuda), home = Tensor::zeros({2});
  const char* text = "tensor: f32[2] is on cuda, where the host cannot follow a pointer (take host())";
  CHECK_THROWS_WITH_AS(x.data<float>(), text, DeviceError);
  CHECK_THROWS_WITH_AS(x.raw(), text, DeviceError);
  CHECK_THROWS_AS(x.raw_bytes(), DeviceError);
  CHECK_THROWS_AS(x.span<float>(), DeviceError);
  CHECK_THROWS_AS(x.device_data<double>(), DtypeError);
  CHECK(x.host().span<float>()[0] == 0);
  CHECK(home.host().same_as(home));
  CHECK_THROWS_WITH_AS(add_inplace(x, home), doctest::Contains("on cpu"), DeviceError);
  CHECK_THROWS_WITH_AS(Tensor::zeros({1}, DType::f32, Device{Backend::cuda, 3}), "cuda: no device 3: expected 0 to 0", DeviceError);
}

TEST_CASE("device: memory is given back to the device's allocator") {
  REQUIRE_SIMULATION;
  const auto stats = [] { return cuda::memory(0).allocator.stats(); };
  CHECK(stats().blocks == 0);
  {
    const Tensor x = Tensor::zeros({1000}, DType::f32, kCuda), y = x.view({10, 100});
    CHECK(stats().blocks == 1);
    CHECK(stats().in_use == 4096);
  }
  CHECK(stats().blocks == 0);
  const int64_t calls = stats().driver_calls;
  for (int i = 0; i < 10; ++i) Tensor::zeros({1000}, DType::f32, kCuda);
  CHECK(stats().driver_calls == calls);
}

TEST_CASE("device: names") {
  CHECK(device_from_name("cpu") == Device{});
  CHECK(device_from_name("emu") == Device{Backend::emu});
  CHECK(target(device_from_name("emu")) == "emu");
  CHECK(name(Device{Backend::cuda, 1}) == "cuda:1");
  for (const char* wrong : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", ""})
    CHECK_THROWS_WITH_AS(device_from_name(wrong), doctest::Contains("expected cpu, cuda, cuda:N, emu or ref"), ConfigError);
  if (cuda::device_count() == 0) CHECK_THROWS_WITH_AS(device_from_name("cuda"), doctest::Contains("no device: "), DeviceError);
  REQUIRE_SIMULATION;
  CHECK(device_from_name("cuda:0") == kCuda);
  CHECK(target(kCuda) == "cuda sm_00 fake GPU");
}
