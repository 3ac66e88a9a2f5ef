// Device memory is asked for in large segments and handed out in blocks, which are kept when they are freed: after its first
// pass a training step calls the driver for nothing (cudaMalloc and cudaFree wait for the whole device).
//
//   Order. A block belongs to the stream it was allocated for, and is handed out again on that stream at once: what its last
//   user launched is ahead in the same stream. A block freed on another stream makes its own one wait for that.
//   Size. A multiple of 512 bytes, cut from the smallest free block that holds it; neighbours that are free become one again.
//   Up to 1 MiB from segments of 2 MiB, above from segments of at least 20 MiB, so that small blocks do not riddle large ones.
//   Out of memory. Segments that are wholly free go back to the driver before it is asked again; then OutOfMemory says what is
//   where.
//   Capture. What a stream allocates while a graph is recorded stays with the graph: replays write to those addresses. What is
//   freed meanwhile, though allocated before, is kept until the graph is gone, for the same reason. Segments that are wholly free go
//   back to the driver before: a recording can take what an eager step has left.
#pragma once
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/runtime/cuda/driver.h"

namespace graft::cuda {

struct OutOfMemory : DeviceError {
  using DeviceError::DeviceError;
};

struct AllocatorStats {
  size_t in_use = 0, peak = 0;  // bytes handed out, rounded up to blocks
  size_t reserved = 0;          // held from the driver
  size_t cached() const { return reserved - in_use; }
  int64_t blocks = 0;        // handed out
  int64_t driver_calls = 0;  // to get or give back a segment
};

// Thread-safe.
class Allocator {
 public:
  explicit Allocator(Driver& driver) : driver_(driver) {}
  ~Allocator();  // gives everything back
  Allocator(const Allocator&) = delete;

  void* allocate(size_t bytes, void* stream);  // null for 0 bytes
  void deallocate(void* p, void* stream);      // everything that uses p was launched on `stream`, or before something on it
  void release_cached();
  AllocatorStats stats() const;
  void reset_peak();

  // Recording of a graph on a stream. The number names the graph; release_graph after its last replay.
  int64_t begin_capture(void* stream);
  void end_capture(void* stream);
  void release_graph(int64_t graph);
  bool capturing(void* stream) const;

  static void set_poison(bool on);  // tests: new blocks are NaN

  void check_invariants() const;  // tests: InternalError

 private:
  struct Pool;
  struct Block {
    std::byte* data;
    size_t bytes;
    Pool* pool;
    bool small, free;
    Block *previous = nullptr, *next = nullptr;  // neighbours in the segment
  };
  struct BySize {
    bool operator()(const Block* a, const Block* b) const { return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data; }
  };
  struct Pool {
    void* stream;
    int64_t graph;  // 0: of no graph
    std::set<Block*, BySize> free[2];
  };

  Pool& pool(int64_t graph, void* stream);
  Block* take_free(Pool&, size_t bytes, bool small);
  Block* new_segment(Pool&, size_t bytes, bool small);
  void split(Block*, size_t bytes);
  void give_back(Block*);
  void* segment_from_driver(size_t bytes);
  void release_free_segments();
  int64_t graph_of(void* stream) const;
  void order(void* before, void* after);

  Driver& driver_;
  mutable std::mutex mutex_;
  std::map<std::pair<int64_t, void*>, Pool> pools_;
  std::unordered_map<void*, Block*> used_;
  std::map<void*, int64_t> captures_;                      // stream -> graph
  std::unordered_map<int64_t, std::vector<Block*>> kept_;  // freed while their graph was recorded
  int64_t graphs_ = 0;
  AllocatorStats stats_;
};

}  // namespace graft::cuda
