// Version of the numbers: raise it with every change that alters a bit of any kernel's result. It belongs to the identity
// of a study's cell, so results of different arithmetic never meet in one table.
#pragma once

namespace graft {

inline constexpr int kKernelVersion = 1;

}  // namespace graft
