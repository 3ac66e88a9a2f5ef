// The layer table of a network: what each block makes, holds and costs, and whether it is trained.
#pragma once
#include "nn/chain.h"

namespace graft::nn {

struct LayerRow {
  std::string name;
  Shape output;               // without the batch: [H, W, C], [C] or [T, C]
  int64_t parameters;         // elements
  int64_t trainable;          // of these, in tensors that require a gradient
  int64_t multiply_adds;      // of one sample
  std::string state() const;  // "trainable", "frozen", "partly frozen", or "-" without parameters
};

// input: one sample, [H, W, C] or, of tokens, [T].
std::vector<LayerRow> layer_rows(const Chain&, const Shape& input);
// Aligned text: a header, a line per block, the totals.
std::string layer_table(const Chain&, const Shape& input);

}  // namespace graft::nn
