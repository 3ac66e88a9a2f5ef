#include "kernels/runtime/emu/executor_state.h"
namespace graft::emu {
void reset_tma() {}
void reset_wgmma() {}
void tma_exit() {}
}  // namespace graft::emu
