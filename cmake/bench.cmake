# The benchmark: graft_bench links kernels and their cases alone; `graft bench` (apps) is made of the same objects.
file(GLOB case_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cases/*.cpp)
add_library(graft_cases OBJECT ${case_sources} tests/harness/cases.cpp tests/harness/verify.cpp)
target_link_libraries(graft_cases PUBLIC graft_kernels)
target_compile_options(graft_cases PRIVATE $<$<CONFIG:Release>:-O1>)
graft_precompile(graft_cases <any> <fmt/format.h> <map> kernels/common/context.h kernels/common/half.h)

graft_sources(bench_sources bench)
list(FILTER bench_sources EXCLUDE REGEX "bench/(main|step|baselines/onednn_module)\\.cpp$")
add_library(graft_bench_objects OBJECT ${bench_sources})
target_link_libraries(graft_bench_objects PUBLIC graft_kernels PRIVATE hwy nlohmann_json::nlohmann_json CLI11::CLI11)
target_compile_definitions(graft_bench_objects PRIVATE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4)")
add_dependencies(graft_bench_objects graft_commit)
graft_precompile(graft_bench_objects <any> <fmt/format.h> <map> kernels/common/context.h kernels/common/half.h)
set(graft_bench_parts $<TARGET_OBJECTS:graft_cases> $<TARGET_OBJECTS:graft_bench_objects>)

add_executable(graft_bench bench/main.cpp ${graft_bench_parts})
target_link_libraries(graft_bench PRIVATE graft_kernels hwy CLI11::CLI11 Threads::Threads ${CMAKE_DL_LIBS})

# oneDNN as a baseline, where it is installed (Debian: libdnnl-dev; its CMake configuration asks for OpenCL, so it is not used).
find_path(DNNL_INCLUDE dnnl.hpp)
find_library(DNNL_LIBRARY dnnl)
find_package(OpenMP QUIET COMPONENTS CXX)
if(DNNL_INCLUDE AND DNNL_LIBRARY AND OpenMP_CXX_FOUND)
  add_library(graft_onednn MODULE bench/baselines/onednn_module.cpp)
  target_include_directories(graft_onednn PRIVATE ${DNNL_INCLUDE})
  target_link_libraries(graft_onednn PRIVATE ${DNNL_LIBRARY} OpenMP::OpenMP_CXX fmt::fmt)
  add_dependencies(graft_bench graft_onednn)
endif()
