# CUDA kernels: `*_cuda.cu` by nvcc, `*_cuda.cpp` by the host's compiler with CUDA's headers. Machine code for sm_80 (A100) and
# sm_90a (H100, with its own instructions), PTX of compute_80 for what is newer. The runtime is linked statically and opens the
# driver's library itself: a program built so starts on a machine without one.
option(GRAFT_CUDA "CUDA kernels (needs CUDA Toolkit 13, no GPU)" OFF)

set(GRAFT_NVCC_FLAGS -O3)  # scripts/cuda_check.py compiles with these too

if(GRAFT_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
    if(NOT CMAKE_CUDA_COMPILER)
      message(FATAL_ERROR "GRAFT_CUDA: no nvcc in PATH or CUDA_HOME: expected CUDA Toolkit 13")
    endif()
  endif()
  set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  enable_language(CUDA)
  foreach(kind STANDARD EXTENSION)  # CMake 3.25 does not know that nvcc 12 and newer can
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endforeach()
  find_package(CUDAToolkit 13 REQUIRED)
  set(CMAKE_CUDA_FLAGS_RELEASE -DNDEBUG)
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:${GRAFT_NVCC_FLAGS}>")
  set(GRAFT_CUDA_LIBRARIES CUDA::cudart_static)
endif()

# What needs CUDA in a list of sources: gets its headers, or leaves the list where the build has none.
function(graft_only_with_cuda list)
  set(cuda_sources ${${list}})
  list(FILTER cuda_sources INCLUDE REGEX "_cuda\\.(cpp|cu)$")
  if(GRAFT_CUDA)
    set_source_files_properties(${cuda_sources} PROPERTIES INCLUDE_DIRECTORIES "${CUDAToolkit_INCLUDE_DIRS}")
  elseif(cuda_sources)
    list(REMOVE_ITEM ${list} ${cuda_sources})
    set(${list} ${${list}} PARENT_SCOPE)
  endif()
endfunction()
