// graft: the command line. Parses arguments, turns every error into one line, and chooses the exit code.
#include <CLI/CLI.hpp>

#include <csignal>
#include <filesystem>
#include <functional>
#include <new>

#include "apps/arguments.h"
#include "apps/output.h"
#include "apps/verbs.h"
#include "kernels/common/error.h"

namespace graft::apps {
std::atomic<bool> interrupted{false};
}

using namespace graft::apps;

namespace {

void on_signal(int) { interrupted = true; }  // the work stops at its next step boundary; a second signal kills

// What writes files ends cleanly; the other verbs have nothing to clean up and just die of the signal.
void handle_interrupts(const std::string& verb) {
  for (const char* writes : {"study", "train", "fetch", "report", "merge", "convert"}) {
    if (verb != writes) continue;
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = int(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
  }
}

// A file that grows too large, and a reader that has gone, are errors of a write, not the end of the process.
void ignore_write_signals() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

// One line, whatever names of files and tensors it quotes.
int fail(ExitCode code, std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
    else if (uint8_t(c) < 32 || c == 127) c = '?';
  write_progress("graft: " + text + "\n");
  return code;
}

Verbs known_verbs(const CLI::App& app) {
  Verbs verbs;
  for (const CLI::App* verb : app.get_subcommands({}))
    for (const CLI::Option* o : verb->get_options({}))
      for (const std::string& name : o->get_lnames()) verbs[verb->get_name()].push_back("--" + name);
  return verbs;
}

void add_data(CLI::App& verb, DataArguments& a) {
  verb.add_option("--data", a.data, "data set of the catalog, a folder with one folder per class, or an archive of it")->required();
  verb.add_option("--mean", a.mean, "mean per channel of pixels / 255, e.g. 0.485,0.456,0.406")->delimiter(',');
  verb.add_option("--std", a.stddev, "standard deviation per channel")->delimiter(',');
}

void add_device(CLI::App& verb, std::string& device) {
  verb.add_option("--device", device, "cpu, cuda, cuda:N or emu (default: GRAFT_DEVICE, else cuda where there is one, else cpu)");
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* what, const char* examples, bool& json) {
  CLI::App* verb = app.add_subcommand(name, what);
  verb->add_flag("--json", json, "one JSON object on standard output, progress on standard error");
  verb->footer(std::string("Examples:\n") + examples);
  return verb;
}

// The file and line of the option that a parse error is about, if it was read from a file.
std::string origin(const std::string& error, const Origins& origins) {
  for (const auto& [option, where] : origins)
    if (error.find(option) != std::string::npos) return " (" + where + ")";
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Graft: what does a network know that another task can use, and at which layer does that stop?", "graft"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "graft " GRAFT_VERSION);
  app.footer(
      "Exit codes: 0 done, 1 a fault of Graft, 2 bad input or usage, 3 a criterion of the study failed (--check), 130 interrupted");
  std::function<int()> run;
  bool json = false;

  StudyArguments s;
  auto* v = add_verb(
      app, "study", "run a transfer study",
      "  graft study examples/demo.toml --out runs/demo\n  graft study examples/demo.toml --dry-run\n  graft study examples/cifar10_random.toml --seeds 3 --shard 1/4 --check",
      json);
  v->add_option("config", s.config, "study configuration (TOML)")->required();
  v->add_option("--out", s.out, "folder of the results; an existing one of the same study is resumed (default: runs/NAME)");
  v->add_option("--seeds", s.seeds, "number of seeds, instead of the configuration's")->check(CLI::Range(1, 1000));
  v->add_option("--jobs", s.jobs, "cells side by side (default: one per core)")->check(CLI::Range(1, 1024));
  add_device(*v, s.device);
  v->add_option("--shard", s.shard, "i/N: this part of the cells; `graft merge` joins them");
  v->add_flag("--dry-run", s.dry_run, "print the grid and what it will cost; run nothing");
  v->add_flag("--check", s.check, "exit with 3 when a criterion of the study fails");
  v->add_flag("--no-cache", s.no_cache, "compute frozen prefixes in every step: same numbers, slower");
  v->callback([&] {
    run = [&] {
      s.json = json;
      return study(s);
    };
  });

  ReportArguments r;
  v = add_verb(app, "report", "rebuild the report of a study from its store",
               "  graft report runs/demo\n  graft report runs/demo --csv cells.csv", json);
  v->add_option("folder", r.folder, "folder of the study")->required();
  v->add_option("--csv", r.csv, "write the cells to this file too");
  v->callback([&] {
    run = [&] {
      r.json = json;
      return report(r);
    };
  });

  MergeArguments m;
  v = add_verb(app, "merge", "join the stores of shards", "  graft merge runs/part1 runs/part2 --out runs/all", json);
  v->add_option("folders", m.folders, "folders of the shards")->required();
  v->add_option("--out", m.out, "folder of the joined study")->required();
  v->callback([&] {
    run = [&] {
      m.json = json;
      return merge(m);
    };
  });

  TrainArguments t;
  v = add_verb(
      app, "train", "train a network, or fine-tune published weights",
      "  graft train --data fashion-mnist --epochs 5 --out runs/cnn.safetensors\n  graft train --data cifar10-jpeg --model resnet20 --weights resnet20.th --fresh 'linear.*' --freeze 'stem-layer2.2' --epochs 2",
      json);
  add_data(*v, t.data);
  add_device(*v, t.device);
  v->add_option("--config", t.config, "read options from this TOML file; those of the command line come first");
  v->add_option("--model", t.model, "network")->capture_default_str();
  v->add_option("--weights", t.weights, "start from these weights");
  v->add_option("--fresh", t.fresh, "with --weights: tensors that keep their initial values (globs)")->needs("--weights");
  v->add_option("--freeze", t.freeze, "blocks that are not trained: names, ranges, globs");
  v->add_option("--out", t.out, "write the weights here (.safetensors); training resumes from OUT.checkpoint");
  v->add_option("--epochs", t.epochs)->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  v->add_option("--batch", t.batch)->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  v->add_option("--lr", t.lr, "learning rate")->capture_default_str();
  v->add_option("--momentum", t.momentum)->capture_default_str();
  v->add_option("--weight-decay", t.weight_decay)->capture_default_str();
  v->add_option("--schedule", t.schedule, "constant, step, cosine, one_cycle, slanted_triangular")->capture_default_str();
  v->add_option("--init", t.init, "he_normal, glorot_uniform, gaussian_2014")->capture_default_str();
  v->add_option("--label-smoothing", t.label_smoothing)->capture_default_str();
  v->add_option("--precision", t.precision, "f32, or bf16 with f32 weights kept beside (on cuda)")->capture_default_str();
  v->add_option("--images-per-class", t.images_per_class, "of the training images (0: all)")->capture_default_str();
  v->add_option("--pad-crop", t.pad_crop, "augmentation: pad and crop by this many pixels")->capture_default_str();
  v->add_option("--flip", t.flip, "augmentation: probability of a horizontal flip")->capture_default_str();
  v->add_option("--seed", t.seed)->capture_default_str();
  v->callback([&] {
    run = [&] {
      t.json = json;
      return train(t);
    };
  });

  EvalArguments e;
  v = add_verb(app, "eval", "accuracy of a network on a data set",
               "  graft eval --model resnet20 --weights resnet20-12fca82f.th --data cifar10-test5000", json);
  v->add_option("--model", e.model, "network")->required();
  v->add_option("--weights", e.weights, "weight file")->required();
  add_data(*v, e.data);
  add_device(*v, e.device);
  v->add_option("--skip", e.skip, "tensors of the file to ignore (globs)");
  v->add_option("--batch", e.batch, "images at once")->capture_default_str()->check(CLI::Range(1, 1 << 20));
  v->add_option("--classes", e.classes, "outputs of the network, where the data has other classes");
  v->callback([&] {
    run = [&] {
      e.json = json;
      return eval(e);
    };
  });

  PredictArguments p;
  v = add_verb(app, "predict", "most probable classes of each image",
               "  graft predict --model study_cnn --weights runs/cnn.safetensors --data fashion-mnist --top 1", json);
  v->add_option("--model", p.model, "network")->required();
  v->add_option("--weights", p.weights, "weight file")->required();
  add_data(*v, p.data);
  add_device(*v, p.device);
  v->add_option("--top", p.top, "classes per image")->capture_default_str()->check(CLI::Range(1, 1000));
  v->add_option("--classes", p.classes, "outputs of the network, where the data has other classes");
  v->callback([&] {
    run = [&] {
      p.json = json;
      return predict(p);
    };
  });

  std::string file, out;
  v = add_verb(app, "inspect", "what a weight file holds: names, shapes, types, statistics, NaNs",
               "  graft inspect resnet20-12fca82f.th", json);
  v->add_option("file", file, ".safetensors, .pth, .th, .npz, .npy")->required();
  v->callback([&] { run = [&] { return inspect(file, json); }; });

  v = add_verb(app, "convert", "a weight file to .safetensors or .npz", "  graft convert model.pth model.safetensors", json);
  v->add_option("in", file)->required();
  v->add_option("out", out)->required();
  v->callback([&] { run = [&] { return convert(file, out, json); }; });

  v = add_verb(app, "datasets", "the data sets that Graft knows by name", "  graft datasets", json);
  v->callback([&] { run = [&] { return datasets(json); }; });

  v = add_verb(app, "fetch", "download a data set", "  graft fetch mnist", json);
  v->add_option("name", file, "name of the catalog")->required();
  v->callback([&] { run = [&] { return fetch(file, json); }; });

  bool support = false;
  v = add_verb(app, "devices", "devices, instruction sets and the support table of the ops", "  graft devices", json);
  v->add_flag("--support-table", support, "the support table as Markdown");
  v->callback([&] { run = [&] { return devices(support, json); }; });

  BenchArguments b;
  v = add_verb(app, "bench", "time kernels beside other libraries, or a whole training step",
               "  graft bench matmul\n  graft bench conv2d --suite resnet50/train --pass dgrad --plot roofline.svg\n"
               "  graft bench matmul --ladder --device emu --verify-only\n  graft bench all --suite study --out study.json\n"
               "  graft bench step --model study_cnn --batch 50\n  graft bench step --model gpt2_124m --sequence 256\n"
               "  graft bench step --model resnet50 --device cuda --dtype bf16 --graph",
               json);
  v->add_option("op", b.options.op, "an op (graft devices --support-table), all, or step")->capture_default_str();
  graft::bench::add_options(*v, b.options);
  v->add_option("--model", b.model, "step: network")->capture_default_str();
  v->add_option("--sequence", b.sequence, "step: tokens of a sample")->check(CLI::Range(1, 1 << 16));
  v->add_option("--repeats", b.repeats, "step: timed steps")->capture_default_str()->check(CLI::Range(1, 100000));
  v->add_flag("--graph", b.graph, "step: recorded once as a CUDA graph and replayed");
  v->callback([&] {
    run = [&] {
      b.options.json = json;
      return bench(b);
    };
  });

  ignore_write_signals();
  Origins origins;
  try {
    Words words(argv + 1, argv + argc);
    const Verbs verbs = known_verbs(app);
    check_words(words, verbs);
    if (!words.empty() && words[0] == "train") words = with_config_file(std::move(words), verbs.at("train"), origins);
    handle_interrupts(words.empty() ? "" : words[0]);
    app.parse(Words(words.rbegin(), words.rend()));  // CLI11 takes them from the back
    return run();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(kBadInput, error.what() + origin(error.what(), origins));
  } catch (const graft::Interrupted& error) {
    return fail(kInterrupted, error.what());
  } catch (const graft::InternalError& error) {
    return fail(kFault, std::string("internal fault: ") + error.what());
  } catch (const graft::Error& error) {
    return fail(kBadInput, error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(kBadInput, error.path1().string() + ": " + error.code().message());
  } catch (const std::bad_alloc&) {
    return fail(kBadInput, "not enough memory");
  } catch (const std::exception& error) {
    return fail(kFault, std::string("internal fault: ") + error.what());
  }
}
