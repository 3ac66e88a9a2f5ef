// A trained network as one safetensors file: weights in PyTorch's names and layouts, and in its metadata what else is needed
// to use them. Weights by others say none of that: then the caller does, or the model's publication.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/datasets/augment.h"
#include "nn/models/models.h"
#include "transfer/load.h"

namespace graft::transfer {

struct NetworkInfo {
  nn::ModelSpec spec = {"", {}, 0};  // name empty, input of rank 0, classes 0: not known
  io::Normalization normalization;   // empty: not known
  std::vector<std::string> classes;  // names in label order; empty: not known
};

// Atomic. Throws Error when it cannot be written.
void save_network(const std::filesystem::path&, const nn::Module&, const NetworkInfo&);

struct LoadedNetwork {
  std::unique_ptr<nn::Chain> network;  // in evaluation mode
  NetworkInfo info;                    // complete, but for the class names
  LoadReport report;
};

// What `wanted` leaves open is taken from the file; failing that, the number of classes from the rows of its last matrix and
// the normalization from published_normalization(). ConfigError: something is still not known, or wanted and file contradict
// each other in model or input. LoadError: as load().
LoadedNetwork load_network(const std::filesystem::path&, const NetworkInfo& wanted = {}, const LoadOptions& = {});

// What the public weights of a model were trained with; empty when there is no such.
io::Normalization published_normalization(const std::string& model);

}  // namespace graft::transfer
