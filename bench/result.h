// One row: what was timed, where, how long it took, and what that is worth. Written as one JSON object a line.
#pragma once
#include <string>
#include <vector>

#include "bench/device.h"

namespace graft::bench {

struct Result {
  // what
  std::string op, pass, dtype, shape, suite;
  int times = 1;  // how often the model of the suite calls it in one step
  std::string engine, version_name;
  int version = 0;  // of graft's ladder; 0: the default
  double flops = 0, bytes = 0;
  // where
  std::string backend, device, target, driver, compiler, commit, command;
  int threads = 0;
  double load = 0;  // of the host when the run began: runnable threads, ours not counted
  // how
  std::string cache, verified;
  std::vector<double> samples;  // seconds of one call
  int calls = 1;                // back to back in each sample
  int dropped = 0;              // disturbed samples that are not among them
  bool disturbed = false;       // disturbed ones are among them, for want of others
  double peak_gflops = 0;       // the roofline of this run that applies
  double bandwidth_gbs = 0;
  double baseline_ratio = 0;  // its time / that of the fastest other library of the run; 0: there was none
  Sensors sensors{};          // after the samples

  double seconds() const;
  double gflops() const { return flops / seconds() * 1e-9; }
  double gbs() const { return bytes / seconds() * 1e-9; }
  double roofline_percent() const;  // of the time that arithmetic or memory alone would take
  // More than the machine can do: a kernel that skips work, a cost that counts too much, or a roofline measured too low.
  bool alarm() const { return roofline_percent() > 100; }
  std::string label() const;  // engine and version
};

std::string json_line(const Result&);
Result result_from_json(const std::string& line);  // LoadError
std::vector<Result> read_results(const std::vector<std::string>& files);

std::string commit();
std::string compiler();

// Text for people: one block of rows for each op and pass.
std::string table_header(const Result&);
std::string table_row(const Result&);
std::string markdown(const std::vector<Result>&);

}  // namespace graft::bench
