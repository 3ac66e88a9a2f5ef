#pragma once
#include <utility>
#include <vector>

#include "nn/module.h"

namespace graft::transfer {

// Evaluation mode for a scope; every module gets back the mode it had.
class EvalMode {
 public:
  explicit EvalMode(nn::Module& root) {
    for (auto& [path, m] : root.named_modules()) modes_.emplace_back(m, m->training());
    root.train(false);
  }
  ~EvalMode() {
    for (auto& [m, on] : modes_) m->train(on);  // parents come first: a module's own mode is set last
  }
  EvalMode(const EvalMode&) = delete;

 private:
  std::vector<std::pair<nn::Module*, bool>> modes_;
};

}  // namespace graft::transfer
