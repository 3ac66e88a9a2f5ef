#include "bench/options.h"

#include <CLI/CLI.hpp>

#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"

namespace graft::bench {
namespace {

template <class Enum>
Enum named(const char* what, std::string_view wanted, std::initializer_list<Enum> all) {
  std::vector<std::string> names;
  for (Enum e : all) {
    if (name(e) == wanted) return e;
    names.emplace_back(name(e));
  }
  throw ConfigError(fmt::format("bench: no {} '{}': {}", what, wanted, did_you_mean(wanted, names)));
}

}  // namespace

Backend backend_named(std::string_view s) { return named("device", s, {Backend::cpu, Backend::cuda, Backend::emu}); }
DType dtype_named(std::string_view s) { return named("dtype", s, {DType::f32, DType::bf16}); }

void add_options(CLI::App& app, Options& o) {
  app.add_option("--pass", o.pass, "forward, backward, dgrad, wgrad, step (default: all)");
  app.add_option("--suite", o.suite, "shapes of a model, see --list (default: basic; all: every suite)");
  app.add_option("--shape", o.shape, "only shapes whose text contains this; =TEXT: exactly this one");
  app.add_option("--device", o.device, "cpu, cuda, emu (--verify-only)")->capture_default_str();
  app.add_option("--dtype", o.dtype, "f32 or bf16")->capture_default_str();
  app.add_option("--cache", o.cache, "cold, hot or both")->capture_default_str()->check(CLI::IsMember({"cold", "hot", "both"}));
  app.add_option("--batch", o.batch, "batch size of a suite, instead of its own")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--threads", o.threads, "0: one per core")->capture_default_str()->check(CLI::Range(0, 1024));
  app.add_option("--seconds", o.seconds, "time budget of each candidate and row")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 600.0));
  app.add_option("--engines", o.engines, "only engines whose names contain one of these: graft,openblas,onednn,pytorch");
  app.add_option("--reference-gflop", o.reference_gflop, "largest case that ref verifies in double")->capture_default_str();
  app.add_flag("--ladder", o.ladder, "every version of a kernel, not only the one that runs by default");
  app.add_flag("--verify-only", o.verify_only, "compare every case and version with the reference; time nothing");
  app.add_flag("--list", o.list, "the suites and the cases that would run");
  app.add_flag("--markdown", o.markdown, "a Markdown table");
  app.add_option("--out", o.out, "also write one JSON object a line to this file");
  app.add_option("--against", o.against, "compare with this file of --out: faster, slower, same or unclear");
  app.add_option("--plot", o.plot, "roofline plot: FILE.svg or FILE.png");
  app.add_option("--table", o.table, "no run: Markdown tables of these files of --out");
}

}  // namespace graft::bench
