// g++ -fsanitize=thread puts a call before each memory access. Kernels of `emu` are compiled so, and the calls come here
// instead of to ThreadSanitizer's runtime, which is not linked; likewise -fsanitize=alignment. In a sanitizer build
// (GRAFT_EMU_OBSERVES unset) kernels are compiled like everything else, and this file is empty.
#include "kernels/runtime/emu/executor.h"

namespace graft::emu {
void misaligned(const void* address, size_t align, const char* file, unsigned line);
}  // namespace graft::emu

#if defined(GRAFT_EMU_OBSERVES)
using graft::emu::access;

#define HOOKS(n)                                                                                               \
  void __tsan_read##n(void* p) { access(p, n, false, false, __builtin_return_address(0), nullptr); }           \
  void __tsan_write##n(void* p) { access(p, n, true, false, __builtin_return_address(0), nullptr); }           \
  void __tsan_unaligned_read##n(void* p) { access(p, n, false, false, __builtin_return_address(0), nullptr); } \
  void __tsan_unaligned_write##n(void* p) { access(p, n, true, false, __builtin_return_address(0), nullptr); } \
  void __tsan_volatile_read##n(void* p) { access(p, n, false, false, __builtin_return_address(0), nullptr); }  \
  void __tsan_volatile_write##n(void* p) { access(p, n, true, false, __builtin_return_address(0), nullptr); }

extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void* p, size_t n) { access(p, n, false, false, __builtin_return_address(0), nullptr); }
void __tsan_write_range(void* p, size_t n) { access(p, n, true, false, __builtin_return_address(0), nullptr); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// The head of the record that g++ and clang pass (compiler-rt: ubsan_handlers.h).
struct TypeMismatch {
  const char* file;
  uint32_t line, column;
  const void* type;
  unsigned char log_alignment;
};
void __ubsan_handle_type_mismatch_v1(TypeMismatch* m, void* p) {
  const size_t align = size_t{1} << m->log_alignment;
  if (reinterpret_cast<uintptr_t>(p) % align) graft::emu::misaligned(p, align, m->file, m->line);
}
}
#endif
