#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/output.h"
#include "apps/verbs.h"
#include "bench/step.h"
#include "commit.h"
#include "kernels/runtime/cpu/thread_pool.h"
#include "tensor/device.h"

namespace graft::apps {

int bench(const BenchArguments& a) {
  const graft::bench::Options& o = a.options;
  if (o.op != "step") return graft::bench::run(o, {write_result, write_progress});
  const auto r = graft::bench::time_step({.model = a.model,
                                          .batch = o.batch,
                                          .sequence = a.sequence,
                                          .threads = o.threads ? o.threads : default_pool().size(),
                                          .repeats = a.repeats,
                                          .device = device_from_name(o.device),
                                          .dtype = graft::bench::dtype_named(o.dtype),
                                          .graph = a.graph});
  if (o.json)
    print_result(
        "{}\n",
        nlohmann::ordered_json{
            {"op", "step"},
            {"model", r.model},
            {"input", r.input},
            {"batch", r.batch},
            {"classes", r.classes},
            {"vocabulary", r.vocabulary},
            {"parameters", r.parameters},
            {"threads", r.threads},
            {"device", r.device},
            {"dtype", r.dtype},
            {"graph", a.graph},
            {"target", r.target},
            {"repeats", r.repeats},
            {"step_ms", r.step_ms},
            {"p10_ms", r.p10_ms},
            {"p90_ms", r.p90_ms},
            {"forward_ms", r.forward_ms},
            {r.unit + "_per_second", r.per_second},
            {"gflop", r.gflop},
            {"gflops", r.gflops},
            {"peak_gflops", r.peak_gflops},
            {"percent_of_peak", 100 * r.gflops / r.peak_gflops},
            {"compiler", __VERSION__},
            {"commit", GRAFT_COMMIT},
            {"command", fmt::format("graft bench step --model {} --batch {}{} --device {} --dtype {}{} --threads {} --repeats {}",
                                    r.model, r.batch, a.sequence ? fmt::format(" --sequence {}", a.sequence) : "", r.device,
                                    r.dtype, a.graph ? " --graph" : "", r.threads, r.repeats)}}
            .dump());
  else
    print_result(
        "{} [{}], batch {}, {}{}, {} threads, {}: step {:.2f} ms (p10 {:.2f}, p90 {:.2f}), forward alone {:.2f} ms\n"
        "{:.0f} {}/s, {:.1f} GFLOP/s, {:.0f} % of the peak of this run ({:.1f} GFLOP/s); loss {:.4f} -> {:.4f}\n",
        r.model, fmt::join(r.input, ", "), r.batch, r.dtype, a.graph ? ", one graph" : "", r.threads, r.target, r.step_ms, r.p10_ms,
        r.p90_ms, r.forward_ms, r.per_second, r.unit, r.gflops, 100 * r.gflops / r.peak_gflops, r.peak_gflops, r.first_loss,
        r.last_loss);
  return kDone;
}

}  // namespace graft::apps
