// graft_bench: the benchmark as a program that links kernels and their cases alone. `graft bench` is the same code.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "bench/options.h"
#include "kernels/common/error.h"

int main(int argc, char** argv) {
  using namespace graft;
  CLI::App app{"Times Graft's kernels beside other libraries, verified against the reference first.", "graft_bench"};
  bench::Options options;
  app.add_option("op", options.op, "an op of kernels/ops.def, or all")->capture_default_str();
  app.add_flag("--json", options.json, "one JSON object a line on standard output, progress on standard error");
  bench::add_options(app, options);
  const auto print_to = [](std::FILE* f) {
    return [f](std::string_view s) {
      std::fwrite(s.data(), 1, s.size(), f);
      std::fflush(f);
    };
  };
  try {
    app.parse(argc, argv);
    return bench::run(options, {print_to(stdout), print_to(stderr)});
  } catch (const CLI::ParseError& e) {
    return app.exit(e) ? 2 : 0;
  } catch (const InternalError& e) {
    std::fprintf(stderr, "graft_bench: internal fault: %s\n", e.what());
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "graft_bench: %s\n", e.what());
    return 2;
  }
}
