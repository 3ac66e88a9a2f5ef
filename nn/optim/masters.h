// A network that computes in bf16 and keeps its weights in f32.
#pragma once
#include "nn/module.h"

namespace graft::nn {

// From here on the module's parameters are rounded copies (those of norms stay as they are). An optimizer given parameters()
// changes the f32 ones and rounds them again; restore() puts these back, so that what is saved, proved and evaluated afterwards is
// f32, and frozen parameters have the bits that they had.
class Masters {
 public:
  // DeviceError: the module is not on cuda or emu, which alone have kernels for bf16. DtypeError: it is not f32.
  explicit Masters(Module&);
  const NamedTensors& parameters() const { return parameters_; }  // f32, all of them
  void round() const;                                             // the module's parameters again from these
  void restore();                                                 // their gradients, if any, come along
  ~Masters();
  Masters(const Masters&) = delete;

 private:
  Module& module_;
  NamedTensors parameters_;
  bool restored_ = false;
};

}  // namespace graft::nn
