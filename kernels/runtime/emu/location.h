#pragma once
#include <source_location>
#include <string>

namespace graft::emu {

std::string place(std::source_location);         // activation_kernels.cuh:52
std::string place(const void* return_address);   // the same of machine code, by addr2line; the module and offset without it
std::string function_name(const void* address);  // without namespaces and parameters

}  // namespace graft::emu
