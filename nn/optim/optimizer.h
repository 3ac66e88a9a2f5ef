// Optimizers: they change parameters by their gradients. The learning rate of a step comes from outside (schedule.h).
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "nn/module.h"
#include "tensor/ops/optim.h"

namespace graft::nn {

// Parameters that share their multipliers. Named, as Module::named_parameters() gives them: errors and checkpoints use
// the names.
struct ParamGroup {
  NamedTensors params;
  double lr_multiplier = 1, decay_multiplier = 1;
};

// A parameter in bf16 has a master: the same in f32, where a step that is small beside the weight still counts. Steps change the
// master, and the parameter becomes what the master rounds to. (Micikevicius et al. 2018; bf16 has the range of f32, so that losses
// need no scaling.)

class Optimizer {
 public:
  // ConfigError: a parameter that is frozen (requires_grad is off), named twice or in the list twice; a negative
  // multiplier; no parameter at all.
  // masters: of parameters in bf16, by name (nn/optim/masters.h); one that is not given starts as the parameter is.
  explicit Optimizer(std::vector<ParamGroup> groups, const NamedTensors& masters = {});
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;

  // Changes every parameter by its gradient, at rate lr times its group's multiplier. Error naming a parameter without
  // a gradient, before anything is changed: a layer that silently does not train looks exactly like a transfer result.
  // max_norm: as clip_grad_norm, in the same pass, and the gradients stay as they are; 0: no clipping.
  void step(double lr, double max_norm = 0);

  // A step in two halves, for a CUDA graph: what changes between steps goes to the memory of the device, and the other half, which
  // is captured once and replayed, reads it there.
  void prepare(double lr, double max_norm = 0);
  void step_prepared();
  void zero_grad();
  int64_t steps() const { return steps_; }  // taken so far
  const std::vector<ParamGroup>& groups() const { return groups_; }

  // For checkpoints: "steps" (i64[1]) and per parameter its state ("conv1.weight.velocity", "conv1.weight.master"), sharing this
  // optimizer's data.
  NamedTensors state() const;
  // Copies such a list. LoadError lists what is missing, unexpected or of another shape; then nothing was changed.
  void load_state(const NamedTensors& state);

 protected:
  struct Slot {  // one parameter with its state, in the order of the names given to add_state
    std::string name;
    Tensor param, master;  // the master of a parameter in bf16, else undefined
    double lr_multiplier, decay_multiplier;
    std::vector<Tensor> state;
    const Tensor& weight() const { return master ? master : param; }  // what a step changes
    Tensor rounded() const { return master ? param : Tensor{}; }
  };
  void add_state(const char* name);  // a tensor like the parameter, zero, for every slot
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  void check_gradients() const;
  virtual void update(const StepState* state) = 0;  // in the memory of the device

  std::vector<ParamGroup> groups_;
  std::vector<Slot> slots_;
  std::vector<const char*> state_names_;
  std::unique_ptr<DeviceStepState> state_;
  double max_norm_ = 0;
  int64_t steps_ = 0;
};

struct SgdOptions {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

// kernels/optim/sgd.h. ConfigError: momentum outside [0, 1), negative weight decay, Nesterov without momentum.
class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<ParamGroup> groups, SgdOptions options = {}, const NamedTensors& masters = {});

 private:
  void update(const StepState* state) override;
  SgdOptions options_;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
};

// kernels/optim/adamw.h. ConfigError: beta outside [0, 1), epsilon not positive, negative weight decay.
class AdamW final : public Optimizer {
 public:
  AdamW(std::vector<ParamGroup> groups, AdamWOptions options = {}, const NamedTensors& masters = {});

 private:
  void update(const StepState* state) override;
  AdamWOptions options_;
};

}  // namespace graft::nn
