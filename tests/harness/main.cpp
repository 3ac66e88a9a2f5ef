#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/runtime/cpu/memory.h"
#include "tests/harness/skip.h"

namespace graft::harness {
namespace {
bool skipped = false;
}

void not_run(const std::string& why) {
  skipped = true;
  std::printf("NOT RUN: %s\n", why.c_str());
}

std::filesystem::path data_path(const std::string& relative) {
  const char* root = std::getenv("GRAFT_DATA");
  if (!root) return {};
  const auto p = std::filesystem::path(root) / relative;
  return std::filesystem::exists(p) ? p : std::filesystem::path{};
}

}  // namespace graft::harness

int main(int argc, char** argv) {
  graft::cpu::set_poison(true);  // what a kernel does not write is NaN
  doctest::Context context(argc, argv);
  const int result = context.run();
  return result == 0 && graft::harness::skipped ? graft::harness::kNotRun : result;
}
