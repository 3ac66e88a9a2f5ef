// Grafting: the first n blocks of one network on to another.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace graft::nn {
class Chain;
}

namespace graft::transfer {

struct GraftOptions {
  int64_t cut = 0;     // blocks 0 .. cut-1 are transferred
  bool freeze = true;  // and frozen; false: fine-tuned (AnB+, BnB+)
  int64_t keep = 0;    // the next `keep` blocks are copied too, and stay trainable
};

enum class Origin { transferred, kept, fresh };

struct GraftRow {
  std::string block;
  Origin origin;
  bool frozen;
  int64_t parameters;
};

struct GraftReport {
  std::vector<GraftRow> rows;  // one per block of the target
  std::string str() const;     // the layer table
};

// Copies parameters and buffers of the blocks from source to target; the other blocks of the target stay as they are
// (freshly initialised by the caller). Throws ConfigError when the cut is not inside both networks and one ShapeError
// that lists every tensor that does not fit; the target is unchanged then.
GraftReport graft(const nn::Chain& source, nn::Chain& target, const GraftOptions&);

}  // namespace graft::transfer
