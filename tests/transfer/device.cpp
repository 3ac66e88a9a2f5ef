// Training, evaluation, the prefix cache, proofs, checkpoints and weight files with a network on another device than the host.
#include <doctest/doctest.h>

#include "tests/harness/simulated_gpu.h"
#include "tests/harness/skip.h"
#include "tests/transfer/toy.h"
#include "transfer/cache.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"
#include "transfer/load.h"
#include "transfer/train.h"

using namespace graft;
using namespace graft::transfer;

namespace {

struct Outcome {
  std::vector<double> losses;
  uint64_t weights = 0, loaded = 0;
  double test_loss = 0;
  std::string proof;
  bool operator==(const Outcome&) const = default;
};

Outcome run(Device device, bool cached) {
  const io::Dataset data = toy::images(8, 1), test = toy::images(4, 2);
  TrainConfig config;
  config.epochs = 1, config.batch = 4, config.clip_norm = 1;
  config.preprocessing.normalization = {{0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}};
  auto net = toy::norm_net(3);
  freeze_first(*net, 1);
  net->to(DType::f32, device);
  PrefixCache cache({});
  const auto prefix = cached ? cache.get(*net, 1, data, config.preprocessing) : nullptr;
  CHECK(bool(prefix) == cached);
  // Stopped after its first step, and taken up again from the checkpoint.
  std::atomic<bool> stop{false};
  TrainHooks hooks;
  hooks.checkpoint = std::filesystem::temp_directory_path() / "graft-test-device.checkpoint";
  hooks.every = 1;
  hooks.cancel = &stop;
  hooks.progress = [&](const TrainProgress&) { stop = true; };
  CHECK_THROWS_AS(train(*net, data, {7, 8}, config, hooks, prefix.get()), Interrupted);
  auto again = toy::norm_net(3);
  freeze_first(*again, 1);
  again->to(DType::f32, device);
  hooks.cancel = nullptr;
  const TrainResult r = train(*again, data, {7, 8}, config, hooks, prefix.get());
  CHECK(r.status == TrainStatus::done);
  const Evaluation e = evaluate(*again, test, {.preprocessing = config.preprocessing});
  auto loaded = toy::norm_net(4);
  loaded->to(DType::f32, device);
  load(*loaded, to_file_layout(*again));
  return {r.losses, hash_weights(*again), hash_weights(*loaded), e.loss, r.proof.str()};
}

}  // namespace

TEST_CASE("device: a network on a simulated GPU trains, is tested, saved and loaded with the bits of emu") {
  if (!harness::SimulatedGpu::possible()) return harness::not_run("this build has real kernels for cuda, or none for emu");
  const Outcome emu = run({Backend::emu}, true);
  CHECK(emu.weights == emu.loaded);
  CHECK(emu.losses.size() == 2);
  const harness::SimulatedGpu simulated;
  CHECK(run({Backend::cuda}, true) == emu);
  CHECK(run({Backend::cuda}, false) == emu);
}
