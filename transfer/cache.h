// The frozen-prefix cache. Frozen blocks are a pure function of the image, so what they compute is computed once and
// training runs only what is above the cut. Training from it gives the same bits as training without.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "tensor/tensor.h"
#include "transfer/preprocess.h"

namespace graft::nn {
class Chain;
}
namespace graft::io {
struct Dataset;
}

namespace graft::transfer {

// What the first blocks() blocks make of every image of one data set: rows in the order of the images, in memory or in a
// mapped file. Immutable, shared between cells and threads.
class Activations {
 public:
  int64_t blocks() const { return blocks_; }
  int64_t items() const { return items_; }
  const Shape& row_shape() const { return row_shape_; }
  uint64_t key() const { return key_; }  // of prefix weights, data and preprocessing
  size_t bytes() const { return size_t(items_) * row_bytes(); }
  bool on_disk() const { return on_disk_; }

  Tensor gather(std::span<const int64_t> items) const;  // [k, row_shape...]
  Tensor rows(int64_t begin, int64_t end) const;        // a copy

  // Throws ConfigError unless these are what the chain's own first blocks(), all cacheable, make of `data`.
  void check_fits(const nn::Chain&, const io::Dataset& data, const Preprocessing&) const;

 private:
  friend class PrefixCache;
  size_t row_bytes() const { return size_t(row_shape_.numel()) * dtype_size(dtype_); }
  Tensor make(int64_t rows) const;

  std::shared_ptr<const std::byte> data_;  // with its owner: a tensor or a mapping
  int64_t blocks_ = 0, items_ = 0;
  Shape row_shape_;
  DType dtype_ = DType::f32;
  uint64_t key_ = 0;
  bool on_disk_ = false;
};

struct CacheOptions {
  size_t memory_limit = size_t{1} << 30;  // bytes of activations in memory
  std::filesystem::path folder = {};      // where the rest goes, in files without a name; empty: nothing spills
  size_t disk_limit = size_t{16} << 30;   // bytes of activations in files
};

struct CacheStats {
  int64_t computed = 0, reused = 0, spilled = 0;
  size_t memory = 0, disk = 0;  // bytes held now
};

// Thread-safe: cells side by side that ask for the same activations compute them once.
class PrefixCache {
 public:
  explicit PrefixCache(CacheOptions);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;

  // Activations below the cut, for as many of the first `cut` blocks as are cacheable (see below); null when none is, or
  // when they fit neither in memory nor on disk. Entries that nobody holds are dropped, the longest unused first, when
  // room is needed; what still does not fit in memory goes to a file. ConfigError: random augmentation. Error: a full disk.
  std::shared_ptr<const Activations> get(nn::Chain&, int64_t cut, const io::Dataset&, const Preprocessing&);

  CacheStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Leading blocks that are frozen and use no randomness in training (the cache ends before the first dropout).
int64_t cacheable_blocks(const nn::Chain&);

// Identity of what blocks 0 .. cut-1 compute on a data set.
uint64_t prefix_key(const nn::Chain&, int64_t cut, const io::Dataset&, const Preprocessing&);

}  // namespace graft::transfer
