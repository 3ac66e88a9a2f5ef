#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bench/against.h"
#include "bench/baselines/baselines.h"
#include "bench/jobs.h"
#include "bench/measure.h"
#include "bench/plot.h"
#include "bench/result.h"
#include "bench/verify.h"
#include "kernels/common/error.h"
#include "kernels/common/versions.h"

namespace graft::bench {
namespace {

using harness::Case;

// graft's own kernel: the version that runs by default, or every one.
std::vector<Candidate> own_candidates(Device& device, const Case& c, DType real, bool ladder) {
  const auto call = [&device, &c, real](int version) {
    return [&device, &c, real, version](std::vector<void*>& args) {
      const int before = device.context().version(c.op);
      device.context().set_version(c.op, version);
      c.run(device.context(), device.backend(), real, args);
      device.context().set_version(c.op, before);
    };
  };
  const auto all = versions(c.op, c.pass, device.backend(), real);
  if (!ladder || all.empty()) {
    const int chosen = device.context().version(c.op);  // GRAFT_VERSION
    for (const Version& v : all)
      if (v.number == chosen) return {{"graft", chosen, std::string(v.name), v.by_request, call(chosen)}};
    return {{"graft", 0, "", false, call(0)}};
  }
  std::vector<Candidate> candidates;
  for (const Version& v : all) candidates.push_back({"graft", v.number, std::string(v.name), v.by_request, call(v.number)});
  return candidates;
}

bool wanted_engine(const std::string& engine, const std::string& list) {
  std::string_view rest = list;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    if (engine.find(one) != std::string::npos) return true;
  }
  return list.empty();
}

std::string command_of(const Options& o, const Job& j, Cache cache, int threads) {
  std::string s = fmt::format("graft bench {} --pass {} --suite {} --shape '={}'", name(j.c.op), name(j.c.pass), j.suite, j.c.name);
  if (o.batch) s += fmt::format(" --batch {}", o.batch);
  s += fmt::format(" --device {} --dtype {} --threads {} --cache {} --seconds {}", o.device, o.dtype, threads, name(cache),
                   o.seconds);
  return s + (o.ladder ? " --ladder" : "");
}

double load_average() {
  double load[1] = {0};
  return getloadavg(load, 1) == 1 ? load[0] : 0;
}

class Run {
 public:
  Run(const Options& o, const Output& output)
      : o_(o), out_(output), real_(dtype_named(o.dtype)), device_(make_device(backend_named(o.device), o.threads)) {
    plan_.seconds = o.seconds;
    if (o.verify_only) return;
    load_ = load_average();
    roofline_ = device_->roofline();
    out_.progress(fmt::format("{}, {} threads, {}, {}: {:.1f} GFLOP/s, {:.1f} GB/s from memory; load {:.1f}\n", device_->model(),
                              threads(), device_->target(), device_->driver(), roofline_.gflops, roofline_.memory_gbs, load_));
  }

  // A job that fails, in a library for instance, leaves the others their rows.
  void job(const Job& j) {
    try {
      verify_and_time(j);
    } catch (const ConfigError&) {  // would be the same for all
      throw;
    } catch (const Error& e) {
      ++failed_;
      out_.progress(fmt::format("failed    {} {} {}: {}\n", name(j.c.op), name(j.c.pass), j.c.name, e.what()));
    }
  }

  // A disturbed roofline is measured again at the end, and the better one judges all rows.
  void finish() {
    if (o_.verify_only) {
      out_.result(
          fmt::format("{} verified, {} not accepted by a version, {} wrong, {} cases too large for emu, {} without a kernel\n",
                      verified_, refused_, wrong_, too_large_, missing_));
      return;
    }
    roofline_ = best(roofline_, device_->roofline());
    for (size_t i = 0; i < results_.size(); ++i) judge(results_[i], sets_[i], by_request_[i]);
  }

  std::vector<Result>& results() { return results_; }
  int wrong() const { return wrong_ + failed_; }
  int missing() const { return missing_; }

 private:
  static constexpr double kMostBytes = 3e9;  // the reference needs three times as much again
  static constexpr double kMostOnEmu = 5e5;  // flops: an access costs some 50 ns

  void verify_and_time(const Job& j) {
    if (!has_kernel(j.c.op, j.c.pass, device_->backend(), real_)) return ++missing_, void();
    if (device_->backend() == Backend::emu && j.c.cost.flops > kMostOnEmu) return ++too_large_, void();
    if (argument_bytes(j.c, real_) > kMostBytes)
      return skip(j, fmt::format("{:.1f} GB of arguments", argument_bytes(j.c, real_) * 1e-9));
    Arguments arguments(*device_, j.c, real_);
    std::vector<Candidate> others = o_.verify_only ? std::vector<Candidate>{} : baselines(*device_, j.c, real_);
    const auto expected = reference(*device_, arguments, j.c, real_, others, o_.reference_gflop);
    if (!expected) return skip(j, fmt::format("{:.3g} GFLOP: more than --reference-gflop", j.c.cost.flops * 1e-9));
    std::vector<Candidate> candidates = own_candidates(*device_, j.c, real_, o_.ladder || o_.verify_only);
    std::move(others.begin(), others.end(), std::back_inserter(candidates));
    std::erase_if(candidates, [&](const Candidate& c) { return !wanted_engine(c.engine, o_.engines); });
    std::erase_if(candidates, [&](Candidate& c) { return !matches(j, arguments, c, *expected, "before timing"); });
    if (o_.verify_only || candidates.empty()) return;
    for (Cache cache : kCaches) {
      if (o_.cache != "both" && o_.cache != name(cache)) continue;
      const auto samples = measure(*device_, arguments, candidates, cache, plan_);
      add_rows(j, candidates, samples, cache, arguments, *expected);
    }
  }

  int threads() const { return device_->backend() == Backend::cpu ? device_->context().pool().size() : 1; }
  void skip(const Job& j, const std::string& why) {
    out_.progress(fmt::format("{} {} {}: not timed: {}\n", name(j.c.op), name(j.c.pass), j.c.name, why));
  }

  bool matches(const Job& j, Arguments& arguments, Candidate& c, const Reference& expected, const char* when) {
    const bool own = c.engine == "graft";
    const auto say = [&](const char* verdict, const std::string& why) {
      const auto text = fmt::format("{:<9} {} {} {} {}{}{}\n", verdict, name(j.c.op), name(j.c.pass), name(real_), c.engine,
                                    c.version ? fmt::format(" v{} {}", c.version, c.version_name) : "",
                                    fmt::format(" {} ({}){}{}", j.c.name, expected.method, why.empty() ? "" : ": ", why));
      o_.verify_only ? out_.result(text) : out_.progress(text);
    };
    try {
      const harness::Comparison r = verify(*device_, arguments, j.c, real_, c, expected);
      if (r.ok) {
        const auto made = std::count_if(j.c.args.begin(), j.c.args.end(), harness::is_output);
        c.verified = c.skips.size() < size_t(made) ? expected.method : "not", ++verified_;
        if (o_.verify_only) say("verified", "");
        return true;
      }
      wrong_ += own;
      say("WRONG", fmt::format("{}: {}", when, r.report));
    } catch (const ConfigError& e) {
      ++refused_;
      if (o_.verify_only) say("refused", e.what());
    } catch (const Error& e) {
      wrong_ += own;
      say(own ? "WRONG" : "failed", e.what());
    }
    return false;
  }

  void add_rows(const Job& j, std::vector<Candidate>& candidates, const std::vector<Samples>& samples, Cache cache,
                Arguments& arguments, const Reference& expected) {
    const size_t first = results_.size();
    double fastest_other = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      Candidate& c = candidates[i];
      if (!matches(j, arguments, c, expected, "after timing")) continue;
      Result r;
      r.op = name(j.c.op), r.pass = name(j.c.pass), r.dtype = name(real_), r.shape = j.c.name, r.suite = j.suite, r.times = j.times;
      r.engine = c.engine, r.version = c.version, r.version_name = c.version_name;
      const double full = argument_bytes(j.c, DType::f32);
      r.flops = j.c.cost.flops, r.bytes = j.c.cost.bytes * (full > 0 ? argument_bytes(j.c, real_) / full : 1);
      r.backend = name(device_->backend()), r.device = device_->model(), r.target = device_->target(), r.driver = device_->driver();
      r.compiler = compiler(), r.commit = commit(), r.command = command_of(o_, j, cache, threads()), r.threads = threads();
      r.load = load_, r.cache = name(cache), r.verified = c.verified, r.samples = samples[i].seconds, r.calls = samples[i].calls;
      r.dropped = samples[i].dropped, r.disturbed = samples[i].disturbed;
      r.sensors = samples[i].after;
      const double working_set = cache == Cache::cold ? INFINITY : argument_bytes(j.c, real_);
      judge(r, working_set, c.by_request);
      if (c.engine != "graft" && r.verified != "not" && (fastest_other == 0 || r.seconds() < fastest_other))
        fastest_other = r.seconds();
      results_.push_back(std::move(r)), sets_.push_back(working_set), by_request_.push_back(c.by_request);
    }
    for (size_t i = first; i < results_.size(); ++i) {
      Result& r = results_[i];
      if (fastest_other > 0) r.baseline_ratio = r.seconds() / fastest_other;
      if (o_.json || o_.markdown) continue;
      if (const std::string header = table_header(r); header != header_) out_.result(header_ = header);
      out_.result(table_row(r));
    }
  }

  void judge(Result& r, double working_set, bool by_request) const {
    r.peak_gflops = real_ == DType::bf16 ? roofline_.tensor_gflops : by_request ? roofline_.tensor_gflops / 2 : roofline_.gflops;
    if (r.peak_gflops == 0) r.peak_gflops = roofline_.gflops;
    r.bandwidth_gbs = r.cache == "cold" ? roofline_.cold_gbs(r.bytes) : roofline_.cached_gbs(working_set);
  }

  const Options& o_;
  const Output& out_;
  DType real_;
  std::unique_ptr<Device> device_;
  Plan plan_;
  Roofline roofline_;
  double load_ = 0;
  std::vector<Result> results_;
  std::vector<double> sets_;
  std::vector<bool> by_request_;
  std::string header_;
  int verified_ = 0, refused_ = 0, wrong_ = 0, failed_ = 0, missing_ = 0, too_large_ = 0;
};

// A file is replaced at once or not at all.
void write_text(const std::string& path, const std::string& text) {
  const bool device = std::filesystem::exists(path) && !std::filesystem::is_regular_file(path);
  const std::string beside = device ? path : path + ".part";
  std::ofstream file(beside, std::ios::binary);
  file << text;
  file.flush();
  if (!file.good() && !device) std::remove(beside.c_str());
  check<Error>(file.good(), "{}: cannot write", path);
  if (!device) std::filesystem::rename(beside, path);
}

}  // namespace

int run(const Options& o, const Output& out) {
  if (!o.table.empty()) {
    const auto results = read_results(o.table);
    out.result(markdown(results));
    if (!o.plot.empty()) write_text(o.plot, draw_roofline(results, plot_format(o.plot)));
    return 0;
  }
  const Backend backend = backend_named(o.device);
  if (!o.plot.empty()) plot_format(o.plot);
  const std::vector<Job> jobs = select_jobs(o);
  if (o.list) {
    out.result(list_text(jobs));
    return 0;
  }
  check<ConfigError>(backend != Backend::emu || o.verify_only,
                     "bench: emu is a debugging device: its times say nothing of a GPU (--verify-only checks every version on it)");
  const std::vector<Result> before = o.against.empty() ? std::vector<Result>{} : read_results({o.against});
  Run r(o, out);
  for (const Job& j : jobs) r.job(j);
  r.finish();
  const std::vector<Result>& results = r.results();
  std::string lines;
  for (const Result& one : results) lines += json_line(one);
  if (o.json) out.result(lines);
  if (o.markdown) out.result(markdown(results));
  if (!o.out.empty()) write_text(o.out, lines);
  if (!o.plot.empty()) write_text(o.plot, draw_roofline(results, plot_format(o.plot)));
  if (r.missing() && !o.verify_only)
    out.progress(fmt::format("{} cases have no {} kernel on {}\n", r.missing(), o.dtype, o.device));
  bool slower = false;
  if (!o.against.empty()) {
    const std::vector<Difference> differences = compare_results(before, results);
    (o.json ? out.progress : out.result)(differences_text(differences));
    for (const Difference& d : differences) slower = slower || d.verdict == Verdict::slower;
  }
  return r.wrong() ? 1 : slower ? 3 : 0;
}

}  // namespace graft::bench
