// cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col, asked of the runtime: nothing links to the driver's library.
#include <cuda.h>
#include <cuda_runtime.h>

#include "kernels/common/tensor_map.h"

namespace graft::cuda {
namespace {

static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(CUtensorMap) <= alignof(TensorMap));

template <class F>
F driver_function(const char* name) {
  void* f = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t e = cudaGetDriverEntryPointByVersion(name, &f, 12000, cudaEnableDefault, &found);
  if (e != cudaSuccess || found != cudaDriverEntryPointSuccess) throw_tensor_map(name, int(e), nullptr, nullptr);
  return reinterpret_cast<F>(f);
}

CUtensorMapDataType type_of(DType t) {
  return t == DType::f32    ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
         : t == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
}

// What both calls take, in the driver's types.
struct Common {
  cuuint64_t size[5], stride[4];
  cuuint32_t step[5];
  template <class Tensor>
  explicit Common(const Tensor& t) {
    for (int i = 0; i < t.rank; ++i) size[i] = cuuint64_t(t.size[i]), step[i] = cuuint32_t(t.step[i]);
    for (int i = 0; i + 1 < t.rank; ++i) stride[i] = cuuint64_t(t.stride[i]);
  }
};

}  // namespace

TensorMap tensor_map(const TiledTensor& t) {
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  const Common c(t);
  cuuint32_t box[5];
  for (int i = 0; i < t.rank; ++i) box[i] = cuuint32_t(t.box[i]);
  TensorMap map;
  const CUresult e = encode(reinterpret_cast<CUtensorMap*>(&map), type_of(t.dtype), cuuint32_t(t.rank), const_cast<void*>(t.data),
                            c.size, c.stride, box, c.step, CU_TENSOR_MAP_INTERLEAVE_NONE, CUtensorMapSwizzle(t.swizzle),
                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (e != CUDA_SUCCESS) throw_tensor_map("cuTensorMapEncodeTiled", int(e), &t, nullptr);
  return map;
}

TensorMap tensor_map(const Im2colTensor& t) {
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  const Common c(t);
  TensorMap map;
  const CUresult e =
      encode(reinterpret_cast<CUtensorMap*>(&map), type_of(t.dtype), cuuint32_t(t.rank), const_cast<void*>(t.data), c.size,
             c.stride, t.lower, t.upper, cuuint32_t(t.channels), cuuint32_t(t.pixels), c.step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CUtensorMapSwizzle(t.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (e != CUDA_SUCCESS) throw_tensor_map("cuTensorMapEncodeIm2col", int(e), nullptr, &t);
  return map;
}

}  // namespace graft::cuda
