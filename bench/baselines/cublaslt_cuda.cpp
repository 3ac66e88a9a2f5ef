// cuBLASLt by dlopen: the eight algorithms that its heuristics think best are timed on the case's own arguments, the fastest
// is kept; 64 MiB of workspace; bias, ReLU, a residual and the bias gradient in its epilogue.
#include <cublasLt.h>
#include <dlfcn.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/baselines/baselines.h"
#include "kernels/common/error.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matmul.h"

namespace graft::bench {
namespace {

struct Library {
  cublasLtHandle_t handle = nullptr;
  std::string name;
#define GRAFT_CUBLASLT(f) decltype(&cublasLt##f) f = nullptr
  GRAFT_CUBLASLT(Create);
  GRAFT_CUBLASLT(GetVersion);
  GRAFT_CUBLASLT(Matmul);
  GRAFT_CUBLASLT(MatmulAlgoGetHeuristic);
  GRAFT_CUBLASLT(MatmulDescCreate);
  GRAFT_CUBLASLT(MatmulDescSetAttribute);
  GRAFT_CUBLASLT(MatrixLayoutCreate);
  GRAFT_CUBLASLT(MatrixLayoutSetAttribute);
  GRAFT_CUBLASLT(MatmulPreferenceCreate);
  GRAFT_CUBLASLT(MatmulPreferenceSetAttribute);
#undef GRAFT_CUBLASLT
};

const Library& library() {
  static const Library l = [] {
    Library found;
    void* so = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!so) return found;
    bool all = true;
    const auto get = [&](const char* name, auto& f) {
      all = (f = reinterpret_cast<std::decay_t<decltype(f)>>(dlsym(so, name))) && all;
    };
    get("cublasLtCreate", found.Create), get("cublasLtGetVersion", found.GetVersion), get("cublasLtMatmul", found.Matmul);
    get("cublasLtMatmulAlgoGetHeuristic", found.MatmulAlgoGetHeuristic);
    get("cublasLtMatmulDescCreate", found.MatmulDescCreate), get("cublasLtMatmulDescSetAttribute", found.MatmulDescSetAttribute);
    get("cublasLtMatrixLayoutCreate", found.MatrixLayoutCreate);
    get("cublasLtMatrixLayoutSetAttribute", found.MatrixLayoutSetAttribute);
    get("cublasLtMatmulPreferenceCreate", found.MatmulPreferenceCreate);
    get("cublasLtMatmulPreferenceSetAttribute", found.MatmulPreferenceSetAttribute);
    if (!all || found.Create(&found.handle) != CUBLAS_STATUS_SUCCESS) return Library{};
    const size_t v = found.GetVersion();
    found.name = fmt::format("cublaslt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
    return found;
  }();
  return l;
}

void check_lt(cublasStatus_t s, const char* what) {
  check<Error>(s == CUBLAS_STATUS_SUCCESS, "cublaslt: {}: status {}", what, int(s));
}

// c = op(a) op(b) + beta c, row-major: for cuBLAS, which is column-major, the transposed product b^T a^T.
struct Product {
  int64_t m, n, k, batch;
  bool ta, tb;
  float beta;
  bool bias, relu, bias_gradient = false;
};

class Matmul {
 public:
  Matmul(Device& device, const Product& p, DType real) : device_(device), p_(p) {
    const Library& l = library();
    const cudaDataType_t type = real == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
    check_lt(l.MatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
    const cublasOperation_t left = p.tb ? CUBLAS_OP_T : CUBLAS_OP_N, right = p.ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, left), set(CUBLASLT_MATMUL_DESC_TRANSB, right);
    const cublasLtEpilogue_t epilogue = p.bias && p.relu  ? CUBLASLT_EPILOGUE_RELU_BIAS
                                        : p.bias          ? CUBLASLT_EPILOGUE_BIAS
                                        : p.relu          ? CUBLASLT_EPILOGUE_RELU
                                        : p.bias_gradient ? CUBLASLT_EPILOGUE_BGRADB
                                                          : CUBLASLT_EPILOGUE_DEFAULT;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    left_ = layout(type, p.tb ? p.k : p.n, p.tb ? p.n : p.k, p.n * p.k);
    right_ = layout(type, p.ta ? p.m : p.k, p.ta ? p.k : p.m, p.m * p.k);
    result_ = layout(type, p.n, p.m, p.m * p.n);
    workspace_ = device.allocate(kWorkspace);
  }
  ~Matmul() { device_.deallocate(workspace_, kWorkspace); }
  Matmul(const Matmul&) = delete;

  // c = op(a) op(b) + beta addend; bias is read, or written where it is a gradient.
  void run(void* c, const void* a, const void* b, const void* bias, const void* addend) {
    if (p_.bias || p_.bias_gradient) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (algorithms_.empty()) choose(c, a, b, addend);
    call(algorithms_[0], c, a, b, addend);
  }

 private:
  static constexpr size_t kWorkspace = size_t{64} << 20;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t what, const T& value) {
    check_lt(library().MatmulDescSetAttribute(operation_, what, &value, sizeof value), "attribute");
  }
  cublasLtMatrixLayout_t layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check_lt(library().MatrixLayoutCreate(&made, type, uint64_t(rows), uint64_t(cols), rows), "layout");
    const int32_t batch = int32_t(p_.batch);
    library().MatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch);
    library().MatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride);
    return made;
  }

  void call(const cublasLtMatmulAlgo_t& algorithm, void* c, const void* a, const void* b, const void* addend) {
    const float one = 1;
    check_lt(library().Matmul(library().handle, operation_, &one, b, left_, a, right_, &p_.beta, addend, result_, c, result_,
                              &algorithm, workspace_, kWorkspace, static_cast<cudaStream_t>(device_.context().stream())),
             "matmul");
  }

  void choose(void* c, const void* a, const void* b, const void* addend) {
    cublasLtMatmulPreference_t preference = nullptr;
    check_lt(library().MatmulPreferenceCreate(&preference), "preference");
    library().MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace);
    cublasLtMatmulHeuristicResult_t found[8];
    int count = 0;
    check_lt(library().MatmulAlgoGetHeuristic(library().handle, operation_, left_, right_, result_, result_, preference, 8, found,
                                              &count),
             "heuristics");
    check<Error>(count > 0, "cublaslt: no algorithm for this product");
    constexpr int kCalls = 10;  // hot, as products in the middle of a network are
    double best = 1e30;
    std::vector<void*> none;
    for (int i = 0; i < count; ++i) {
      Candidate one{"cublaslt"};
      one.run = [&, i](std::vector<void*>&) { call(found[i].algo, c, a, b, addend); };
      double seconds = 1e30;
      for (int repeat = 0; repeat < 3; ++repeat) seconds = std::min(seconds, device_.time(one, none, kCalls, Cache::hot).seconds);
      if (seconds < best) best = seconds, algorithms_.assign(1, found[i].algo);
    }
  }

  Device& device_;
  Product p_;
  cublasLtMatmulDesc_t operation_ = nullptr;  // descriptors live as long as the process
  cublasLtMatrixLayout_t left_ = nullptr, right_ = nullptr, result_ = nullptr;
  std::vector<cublasLtMatmulAlgo_t> algorithms_;
  void* workspace_ = nullptr;
};

std::vector<Candidate> make(Device& device, const harness::Case& c, DType real) {
  if (library().name.empty()) return {};
  Product p;
  size_t result = 0, left = 1, right = 2, bias = 0, addend = 0;
  if (const auto* q = params_of<MatmulParams>(c)) {
    p = {q->m, q->n, q->k, q->batch, q->transpose_a, q->transpose_b, q->write == Write::accumulate ? 1.0f : 0.0f, false, false};
  } else if (const auto* l = params_of<LinearParams>(c)) {
    const bool relu = l->activation == Activation::relu, forward = c.pass == Pass::forward;
    if (relu && !forward) return {};  // the mask would be a kernel of its own
    if (forward) {
      const bool added = c.args[4].role != harness::Arg::absent;
      p = {l->rows, l->out, l->in, 1, false, true, added ? 1.0f : 0.0f, c.args[3].role != harness::Arg::absent, relu};
      bias = 3, addend = added ? 4 : 0;
    } else if (c.pass == Pass::dgrad) {
      p = {l->rows, l->in, l->out, 1, false, false, 0, false, false};
    } else {
      const bool dbias = c.args[1].role != harness::Arg::absent;
      if (dbias && real != DType::bf16) return {};  // whether it sums fp32 is untried
      p = {l->out, l->in, l->rows, 1, true, false, 0, false, false, dbias}, left = 2, right = 3, bias = 1;
    }
  } else return {};
  if (p.m * p.n * p.k == 0) return {};
  const auto matmul = std::make_shared<Matmul>(device, p, real);
  Candidate one{library().name};
  one.run = [=](std::vector<void*>& a) { matmul->run(a[result], a[left], a[right], bias ? a[bias] : nullptr, a[addend]); };
  return {one};
}

const RegisterBaseline registered(Backend::cuda, make);

}  // namespace
}  // namespace graft::bench
