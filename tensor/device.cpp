#include "tensor/device.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "kernels/common/registry.h"
#include "kernels/runtime/cpu/target.h"
#include "kernels/runtime/cuda/driver.h"

namespace graft {

Device device_from_name(std::string_view text) {
  for (Backend b : {Backend::cpu, Backend::ref, Backend::emu})
    if (text == name(b)) return {b};
  const auto colon = text.find(':');
  int index = 0;
  const std::string_view number = colon == text.npos ? "0" : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
  check<ConfigError>(text.substr(0, colon) == "cuda" && error == std::errc{} && end == number.data() + number.size() && index >= 0,
                     "device: expected cpu, cuda, cuda:N, emu or ref, got '{}'", text);
  cuda::driver(index);
  return {Backend::cuda, index};
}

Device default_device() {
  static const Device chosen = [] {
    if (const char* s = std::getenv("GRAFT_DEVICE"); s && *s) return device_from_name(s);
    if (cuda::device_count() > 0) return Device{Backend::cuda};
    if (cuda::built_in()) std::fprintf(stderr, "graft: computing on cpu: no CUDA device: %s\n", cuda::why_no_device().c_str());
    return Device{};
  }();
  return chosen;
}

std::string target(Device d) {
  if (d.backend == Backend::cpu) return std::string(cpu::target());
  if (d.backend != Backend::cuda) return std::string(name(d.backend));
  const cuda::DeviceInfo i = cuda::driver(d.index).info();
  return fmt::format("cuda sm_{}{} {}", i.major, i.minor, i.name);
}

}  // namespace graft
