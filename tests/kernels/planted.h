// A kernel with a planted bug, and its corrected twin: the executor has to find the one with one error, in order and shuffled,
// and to accept the other.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "kernels/common/simt.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/skip.h"

namespace graft::emu {

enum class Bug { planted, corrected };

struct PlantedLaunch {
  int blocks = 1, threads = 64, cluster = 1;
  size_t shared_bytes = 0;
  void (*prepare)(float*) = nullptr;  // sees the kernel's memory before it
};

inline std::string launched(void (*kernel)(float*), uint64_t seed, const PlantedLaunch& l) {
  std::vector<float4> heap(80);  // kernels may see the 64 floats in the middle
  float* memory = &heap[32].x;
  options().seed = seed;
  Visible visible(memory, 64 * sizeof(float));
  Context c(1);
  std::string found = "no fault";
  if (l.prepare) l.prepare(memory);
  try {
    launch_cluster(kernel, l.blocks, l.cluster, l.threads, l.shared_bytes, c, memory);
  } catch (const KernelFault& e) {
    found = e.what();
  }
  options().seed = 0;
  return found;
}

}  // namespace graft::emu

#define CHECK_PLANTED_IN(kernel, where, ...)                                            \
  for (uint64_t seed = 0; seed < 4; ++seed) {                                           \
    const std::string found = launched(kernel<Bug::planted>, seed, where);              \
    if (!seed) MESSAGE(found);                                                          \
    for (const char* part : {"emu: " #kernel, "block (", "thread (", __VA_ARGS__})      \
      CHECK_MESSAGE(found.find(part) != found.npos, "expected ", part, " in: ", found); \
    CHECK(launched(kernel<Bug::corrected>, seed, where) == "no fault");                 \
  }
#define CHECK_PLANTED(kernel, blocks, ...) CHECK_PLANTED_IN(kernel, PlantedLaunch{blocks}, __VA_ARGS__)
#define NEEDS_HOOKS() \
  if (!observes()) return harness::not_run("this build does not see the memory accesses of kernels")
