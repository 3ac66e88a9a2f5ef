#include "kernels/runtime/emu/fiber.h"

#include <sys/mman.h>

#include <utility>

#include "kernels/common/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// The registers that a call preserves (System V ABI) go on the stack; 10 ns, where swapcontext asks the kernel for the
// signal mask each time (300-800 ns).
#if defined(__x86_64__)
extern "C" void graft_switch_stack(void** save, void* load);
asm(R"(
.text
.type graft_switch_stack, @function
graft_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size graft_switch_stack, . - graft_switch_stack
)");
#endif

namespace graft::emu {
namespace {

constexpr size_t kGuardBytes = 4096;  // below each stack: an overflow faults
int taken = 0;

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack = nullptr;
size_t scheduler_stack_bytes = 0;
#endif
#if defined(__SANITIZE_THREAD__)
void* scheduler_tsan = nullptr;
#endif
void (*entry_point)() = nullptr;

void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  entry_point();
}

}  // namespace

std::byte* Fiber::take_stack() {
  constexpr size_t kBytes = Fiber::kStackBytes * Fiber::kMaxFibers;
  if (!pool_) {
    void* p = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check<Error>(p != MAP_FAILED, "emu: the system refused {} MiB for the stacks of fibers", kBytes >> 20);
    pool_ = static_cast<std::byte*>(p);
  }
  check<InternalError>(taken < Fiber::kMaxFibers, "emu: more fibers than threads of a cluster");
  std::byte* stack = pool_ + Fiber::kStackBytes * size_t(taken++);
  mprotect(stack, kGuardBytes, PROT_NONE);
  return stack;
}

void Fiber::start(void (*entry)()) {
  if (!stack_) stack_ = take_stack();
  entry_point = entry;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes - kGuardBytes);
  fake_stack_ = nullptr;
#endif
#if defined(__SANITIZE_THREAD__)
  // Making one takes .3 ms, so it is used again; a run leaves its frames on ThreadSanitizer's stack of 64 Ki frames.
  if (tsan_ && ++starts_ % 1024 == 0) __tsan_destroy_fiber(std::exchange(tsan_, nullptr));
  if (!tsan_) tsan_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 8;  // six registers, the entry, a return address of 0
  for (int i = 0; i < 8; ++i) top[i] = nullptr;
  top[6] = reinterpret_cast<void*>(&enter);
  self_ = top;
#else
  getcontext(&self_);
  self_.uc_stack = {stack_ + kGuardBytes, 0, kStackBytes - kGuardBytes};
  self_.uc_link = nullptr;
  makecontext(&self_, enter, 0);
#endif
}

void Fiber::resume() {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_ + kGuardBytes, kStackBytes - kGuardBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  scheduler_tsan = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_, 0);
#endif
#if defined(__x86_64__)
  graft_switch_stack(&scheduler_, self_);
#else
  swapcontext(&scheduler_, &self_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack, scheduler_stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(scheduler_tsan, 0);
#endif
#if defined(__x86_64__)
  graft_switch_stack(&self_, scheduler_);
#else
  swapcontext(&self_, &scheduler_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

}  // namespace graft::emu
