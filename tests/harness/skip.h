// A test whose data or device is absent is *not run*: the program exits with kNotRun, which ctest counts as skipped.
#pragma once
#include <filesystem>
#include <string>

namespace graft::harness {

inline constexpr int kNotRun = 77;

void not_run(const std::string& why);                          // remembered by main
std::filesystem::path data_path(const std::string& relative);  // inside GRAFT_DATA; empty if absent

}  // namespace graft::harness

#define GRAFT_REQUIRE_DATA(relative)                                                      \
  do {                                                                                    \
    if (::graft::harness::data_path(relative).empty()) {                                  \
      ::graft::harness::not_run(std::string("no data ") + (relative) + " in GRAFT_DATA"); \
      return;                                                                             \
    }                                                                                     \
  } while (false)
