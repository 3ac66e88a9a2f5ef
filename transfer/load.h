// Weights from a file into a network, with a report of every tensor. Strict unless something is asked for by pattern.
// Files hold PyTorch's names and layouts; networks hold Graft's: filters OIHW -> OHWI, and the columns of a linear layer
// that reads a flattened feature map (LinearOptions::image) from (C, H, W) to (H, W, C) order.
#pragma once
#include <string>
#include <vector>

#include "nn/module.h"

namespace graft::transfer {

struct LoadOptions {
  // Globs (see freeze.h). Tensors of the file that are ignored; counters of PyTorch's batch norm always are.
  std::vector<std::string> skip = {};
  // Tensors of the network that keep their initial values; the file may hold anything, or nothing, for them.
  std::vector<std::string> fresh = {};
  std::string strip_prefix = "module.";  // of the names in the file, where they have it
};

enum class LoadAction { loaded, transformed, skipped, fresh };

struct LoadRow {
  std::string name;  // in the network; in the file when skipped
  LoadAction action;
  std::string detail;  // what was transformed, why it was skipped
  Shape shape;         // in the network; in the file when skipped
};

struct LoadReport {
  std::vector<LoadRow> rows;  // definition order of the network, then what was skipped
  int64_t count(LoadAction) const;
  std::string str() const;  // table
};

// Float types are converted to the network's. Throws one LoadError that lists every missing, unexpected and mis-shaped tensor
// (the network is unchanged then), and ConfigError when a pattern matches nothing.
LoadReport load(nn::Module&, const nn::NamedTensors& file, const LoadOptions& = {});

// Parameters and buffers as files hold them: the inverse of load().
nn::NamedTensors to_file_layout(const nn::Module&);

}  // namespace graft::transfer
