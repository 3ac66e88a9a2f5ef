// What a user asks of the benchmark; the same for `graft bench` and graft_bench.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/dtype.h"

namespace CLI {
class App;
}

namespace graft::bench {

struct Options {
  std::string op = "all", device = "cpu", dtype = "f32", cache = "both";
  std::string pass = {}, suite = {}, shape = {}, engines = {}, out = {}, against = {}, plot = {};
  std::vector<std::string> table = {};
  int64_t batch = 0;  // of a suite; 0: its own
  int threads = 0;    // 0: one per core
  double seconds = 0.5, reference_gflop = 4;
  bool ladder = false, verify_only = false, list = false, markdown = false, json = false;
};

void add_options(CLI::App&, Options&);  // all but the positional op and --json

// Where text goes: results, and what is said meanwhile.
struct Output {
  std::function<void(std::string_view)> result, progress;
};

// 0; 1 when a kernel of graft did not match the reference; 3 when --against found a row slower. Errors: typed, one line.
int run(const Options&, const Output&);

// ConfigError with the nearest names.
Backend backend_named(std::string_view);
DType dtype_named(std::string_view);

}  // namespace graft::bench
