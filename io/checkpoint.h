// A training state in one safetensors file: weights, optimizer state, random streams, step, metadata.
#pragma once
#include <cstdint>
#include <filesystem>

#include "io/weights/weights.h"
#include "kernels/common/philox.h"

namespace graft::io {

struct Checkpoint {
  NamedTensors weights, optimizer;
  std::map<std::string, Philox> random;  // where each stream stands: (key, offset) is the whole state
  Metadata meta;
  uint64_t step = 0;
};

// Atomic: after a crash the file is the old state or the new one, never a mixture.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint&);

// Verifies format, version and the hash over all content. Throws LoadError: not a checkpoint, another version, damaged.
Checkpoint load_checkpoint(const std::filesystem::path& path);
Checkpoint parse_checkpoint(ByteSpan content, std::string_view where);

}  // namespace graft::io
