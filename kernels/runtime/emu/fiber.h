// A stack of its own for each CUDA thread, and the switch between them.
#pragma once
#include <cstddef>
#include <cstdint>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace graft::emu {

class Fiber {
 public:
  static constexpr size_t kStackBytes = size_t{128} << 10;
  static constexpr int kMaxFibers = 4096;  // threads of a cluster
  // Starts over: the next resume() calls entry(), which must never return: it ends with suspend().
  void start(void (*entry)());
  void resume();                         // from the scheduler; returns at suspend()
  void suspend();                        // from inside; returns at resume()
  static bool on_stack(const void* p) {  // of any fiber
    return reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(pool_) < kStackBytes * kMaxFibers;
  }

 private:
  static std::byte* take_stack();
  static inline std::byte* pool_ = nullptr;
  std::byte* stack_ = nullptr;
#if defined(__x86_64__)
  void* self_ = nullptr;
  void* scheduler_ = nullptr;
#else
  ucontext_t self_, scheduler_;
#endif
  void* tsan_ = nullptr;
  unsigned starts_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace graft::emu
