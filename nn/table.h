// The layer table of a network: what each block makes, holds and costs, and whether it is trained.
#pragma once
#include "nn/chain.h"

namespace graft::nn {

struct LayerRow {
  std::string name;
  Shape output;               // without the batch: [H, W, C] or [C]
  int64_t parameters;         // elements
  int64_t trainable;          // of these, in tensors that require a gradient
  int64_t multiply_adds;      // of one image
  std::string state() const;  // "trainable", "frozen", "partly frozen", or "-" without parameters
};

// input: one image, [H, W, C].
std::vector<LayerRow> layer_rows(const Chain&, const Shape& input);
// Aligned text: a header, a line per block, the totals.
std::string layer_table(const Chain&, const Shape& input);

}  // namespace graft::nn
