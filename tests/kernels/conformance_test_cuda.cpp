// The executor against a GPU: 100 random inputs of every wrapper. GRAFT_CONFORMANCE=FILE records inputs' seeds and the GPU's
// outputs of one test case as JSON: golden data for machines without one.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "kernels/runtime/cuda/driver.h"
#include "kernels/runtime/cuda/memory.h"
#include "tests/harness/skip.h"
#include "tests/kernels/conformance_inputs.h"

using namespace graft;

namespace {

std::vector<uint32_t> run_on_cuda(const conformance::Wrapper& w, Context& context, const std::vector<uint32_t>& in) {
  cuda::Memory& m = cuda::memory(0);
  std::vector<uint32_t> out(size_t(w.out), 0xffffffffu);
  auto* din = static_cast<uint32_t*>(m.allocator.allocate(4 * in.size(), nullptr));
  auto* dout = static_cast<uint32_t*>(m.allocator.allocate(4 * out.size(), nullptr));
  m.to_device(din, in.data(), 4 * in.size(), nullptr);
  m.to_device(dout, out.data(), 4 * out.size(), nullptr);
  w.run(context, dout, din);
  m.to_host(out.data(), dout, 4 * out.size(), nullptr);
  m.allocator.deallocate(din, nullptr);
  m.allocator.deallocate(dout, nullptr);
  return out;
}

// 100 inputs of the wrappers whose names begin with `family`; and the records of the first two of each.
void compare_wrappers(std::span<const conformance::Wrapper> emulated, std::span<const conformance::Wrapper> real,
                      std::string_view family = "") {
  Context context(1);
  std::vector<std::string> records;
  for (size_t i = 0; i < emulated.size(); ++i) {
    const conformance::Wrapper& w = emulated[i];
    if (!std::string_view(w.name).starts_with(family)) continue;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      INFO(std::string(w.name), " input ", seed);
      const auto in = conformance::inputs(w, seed);
      std::vector<uint32_t> expected(size_t(w.out)), size(size_t(w.out));
      w.run(context, expected.data(), in.data());
      if (w.sums) w.run(context, size.data(), conformance::magnitudes(w, in).data());
      std::vector<uint32_t> got;
      try {
        got = run_on_cuda(real[i], context, in);
      } catch (const std::exception& e) {
        FAIL_CHECK(std::string(e.what()));
        break;
      }
      const std::string wrong = conformance::difference(w, expected, got, size);
      CHECK_MESSAGE(wrong.empty(), wrong);
      if (seed < 2)
        records.push_back(
            fmt::format("{{\"wrapper\": \"{}\", \"seed\": {}, \"out\": \"{:08x}\"}}", w.name, seed, fmt::join(got, "")));
    }
  }
  CHECK_FALSE(records.empty());
  if (const char* file = std::getenv("GRAFT_CONFORMANCE")) std::ofstream(file) << fmt::format("[{}]\n", fmt::join(records, ",\n"));
}

void compare_hopper(std::string_view family) {
  if (cuda::device_count() == 0) return harness::not_run("no device: " + cuda::why_no_device());
  if (cuda::driver(0).info().major != 9) return harness::not_run("no Hopper");
  compare_wrappers(emu::conformance_hopper_wrappers(), cuda::conformance_hopper_wrappers(), family);
}

}  // namespace

TEST_CASE("conformance: emu computes what the GPU computes") {
  if (cuda::device_count() == 0) return harness::not_run("no device: " + cuda::why_no_device());
  compare_wrappers(emu::conformance_wrappers(), cuda::conformance_wrappers());
}
// Case by case, because what fails here may take the process's device with it.
TEST_CASE("conformance: TMA loads") { compare_hopper("tma load"); }
TEST_CASE("conformance: TMA im2col") { compare_hopper("tma im2col"); }
TEST_CASE("conformance: TMA stores") { compare_hopper("tma store"); }
TEST_CASE("conformance: TMA multicast") { compare_hopper("tma multicast"); }
TEST_CASE("conformance: wgmma") { compare_hopper("wgmma"); }
