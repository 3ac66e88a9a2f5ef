// The verbs of the command line. main.cpp parses the arguments into these structs; each verb has one file and only calls
// the library. What it prints, and where: output.h.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/options.h"
#include "tensor/device.h"

namespace graft::apps {

enum ExitCode { kDone = 0, kFault = 1, kBadInput = 2, kCriterionFailed = 3, kInterrupted = 130 };

// "": default_device(). ConfigError, or DeviceError where no such device is.
Device device_of(const std::string& argument);

extern std::atomic<bool> interrupted;  // set by Ctrl-C and SIGTERM

struct StudyArguments {
  std::string config, out, shard, device;
  int64_t seeds = 0;  // 0: as configured
  int jobs = 0;       // 0: one per core
  bool dry_run = false, check = false, no_cache = false, json = false;
};
int study(const StudyArguments&);

struct ReportArguments {
  std::string folder, csv;
  bool json = false;
};
int report(const ReportArguments&);

struct MergeArguments {
  std::vector<std::string> folders;
  std::string out;
  bool json = false;
};
int merge(const MergeArguments&);

// Which images, and how they become the input of a network.
struct DataArguments {
  std::string data;  // catalog name, folder or archive
  std::vector<double> mean,
      stddev;  // per channel, of pixels / 255; empty: of the training images (train), of the weight file or publication (eval)
};

struct TrainArguments {
  std::string model = "study_cnn", init = "he_normal", schedule = "step", precision = "f32", out, config, weights, freeze, device;
  DataArguments data;
  std::vector<std::string> fresh;  // globs of tensors that keep their initial values when weights are loaded
  int64_t epochs = 10, batch = 50, images_per_class = 0, seed = 0, pad_crop = 0;
  double lr = 0.02, momentum = 0.9, weight_decay = 5e-4, flip = 0, label_smoothing = 0;
  bool json = false;
};
int train(const TrainArguments&);

struct EvalArguments {
  std::string model, weights, device;
  DataArguments data;
  std::vector<std::string> skip;
  int64_t classes = 0, batch = 250;
  bool json = false;
};
int eval(const EvalArguments&);

struct PredictArguments {
  std::string model, weights, device;
  DataArguments data;
  int64_t classes = 0, top = 3;
  bool json = false;
};
int predict(const PredictArguments&);

int inspect(const std::string& file, bool json);
int convert(const std::string& in, const std::string& out, bool json);
int datasets(bool json);
int fetch(const std::string& name, bool json);
int devices(bool support_table, bool json);

struct BenchArguments {
  graft::bench::Options options;  // its op may be "step": a whole training step of `model`
  std::string model = "study_cnn";
  int64_t sequence = 0;  // tokens of a sample; 0: the model's own
  int repeats = 60;
  bool graph = false;
};
int bench(const BenchArguments&);

}  // namespace graft::apps
