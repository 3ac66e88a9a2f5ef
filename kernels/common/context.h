// What differs between backends and is handed to every kernel: the threads and the scratch memory.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/runtime/cpu/thread_pool.h"

namespace graft {

// Stack of scratch blocks: taken at the start of a kernel, given back at its end. One owner thread.
class Workspace {
 public:
  ~Workspace();
  std::byte* push(size_t bytes);  // 64-byte aligned, uninitialised (NaN when poison is on)
  void pop();
  bool holds(const void* p, size_t bytes) const;  // inside a block that is taken

 private:
  struct Block {
    std::byte* data;
    size_t bytes;
  };
  std::vector<Block> blocks_;  // kept between kernels; a block grows by being replaced
  size_t depth_ = 0;
};

template <class T>
class Scratch {
 public:
  Scratch(Workspace& w, size_t n) : workspace_(w), data_(reinterpret_cast<T*>(w.push(n * sizeof(T)))) {}
  ~Scratch() { workspace_.pop(); }
  Scratch(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  Workspace& workspace_;
  T* data_;
};

using VersionChoice = std::array<uint8_t, size_t{kOps}>;  // of each op; 0: the default (kernels/common/versions.h)
const VersionChoice& environment_versions();              // GRAFT_VERSION; ConfigError

class Context {
 public:
  explicit Context(ThreadPool& pool) : pool_(pool) {}
  explicit Context(int threads) : own_(std::make_unique<ThreadPool>(threads)), pool_(*own_) {}

  ThreadPool& pool() { return pool_; }
  template <class T>
  [[nodiscard]] Scratch<T> scratch(size_t n) {
    return {workspace_, n};
  }
  const Workspace& workspace() const { return workspace_; }

  void* stream() const { return stream_; }  // cudaStream_t of the kernels launched here; null: the default stream
  void set_stream(void* stream) { stream_ = stream; }

  int version(Op op) const { return versions_[size_t(op)]; }
  void set_version(Op op, int number) { versions_[size_t(op)] = uint8_t(number); }

 private:
  std::unique_ptr<ThreadPool> own_;
  ThreadPool& pool_;
  Workspace workspace_;
  void* stream_ = nullptr;
  VersionChoice versions_ = environment_versions();
};

}  // namespace graft
