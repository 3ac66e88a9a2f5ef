// cuDNN by dlopen: convolutions NHWC with the algorithm that its Find measured as fastest, workspace allowed.
#include <cudnn.h>
#include <dlfcn.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/baselines/baselines.h"
#include "kernels/common/error.h"
#include "kernels/conv2d/conv2d.h"

namespace graft::bench {
namespace {

#define GRAFT_CUDNN_FUNCTIONS(X)                                                                                           \
  X(Create)                                                                                                                \
  X(SetStream)                                                                                                             \
  X(GetVersion)                                                                                                            \
  X(CreateTensorDescriptor)                                                                                                \
  X(SetTensor4dDescriptor)                                                                                                 \
  X(CreateFilterDescriptor)                                                                                                \
  X(SetFilter4dDescriptor)                                                                                                 \
  X(CreateConvolutionDescriptor)                                                                                           \
  X(SetConvolution2dDescriptor)                                                                                            \
  X(SetConvolutionGroupCount) X(SetConvolutionMathType) X(CreateActivationDescriptor) X(SetActivationDescriptor)           \
      X(ActivationBackward) X(FindConvolutionForwardAlgorithmEx) X(ConvolutionForward) X(ConvolutionBiasActivationForward) \
          X(FindConvolutionBackwardDataAlgorithmEx) X(ConvolutionBackwardData) X(FindConvolutionBackwardFilterAlgorithmEx) \
              X(ConvolutionBackwardFilter) X(ConvolutionBackwardBias)

struct Library {
  cudnnHandle_t handle = nullptr;
  std::string name;
#define GRAFT_CUDNN_MEMBER(f) decltype(&cudnn##f) f = nullptr;
  GRAFT_CUDNN_FUNCTIONS(GRAFT_CUDNN_MEMBER)
#undef GRAFT_CUDNN_MEMBER
};

const Library& library() {
  static const Library l = [] {
    Library found;
    void* so = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!so) return found;
    bool all = true;
    const auto get = [&](const char* name, auto& f) {
      all = (f = reinterpret_cast<std::decay_t<decltype(f)>>(dlsym(so, name))) && all;
    };
#define GRAFT_CUDNN_GET(f) get("cudnn" #f, found.f);
    GRAFT_CUDNN_FUNCTIONS(GRAFT_CUDNN_GET)
#undef GRAFT_CUDNN_GET
    if (!all || found.Create(&found.handle) != CUDNN_STATUS_SUCCESS) return Library{};
    const size_t v = found.GetVersion();
    found.name = fmt::format("cudnn {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
    return found;
  }();
  return l;
}

void check_dnn(cudnnStatus_t s, const char* what) { check<Error>(s == CUDNN_STATUS_SUCCESS, "cudnn: {}: status {}", what, int(s)); }

class Convolution {
 public:
  Convolution(Device& device, const Conv2dParams& p, Pass pass, bool bias, DType real)
      : device_(device), pass_(pass), bias_(bias), relu_(p.activation == Activation::relu) {
    const Library& l = library();
    const cudnnDataType_t type = real == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    check_dnn(l.SetStream(l.handle, static_cast<cudaStream_t>(device.context().stream())), "stream");
    const auto tensor = [&](cudnnTensorDescriptor_t& d, int64_t n, int64_t c, int64_t h, int64_t w) {
      check_dnn(l.CreateTensorDescriptor(&d), "tensor");
      check_dnn(l.SetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type, int(n), int(c), int(h), int(w)), "tensor");
    };
    tensor(x_, p.n, p.c_in, p.h, p.w), tensor(y_, p.n, p.c_out, p.out_h(), p.out_w()), tensor(b_, 1, p.c_out, 1, 1);
    check_dnn(l.CreateFilterDescriptor(&w_), "filter");
    check_dnn(l.SetFilter4dDescriptor(w_, type, CUDNN_TENSOR_NHWC, int(p.c_out), int(p.c_in / p.groups), int(p.kh), int(p.kw)),
              "filter");
    check_dnn(l.CreateConvolutionDescriptor(&conv_), "convolution");
    check_dnn(l.SetConvolution2dDescriptor(conv_, int(p.padding), int(p.padding), int(p.stride), int(p.stride), int(p.dilation),
                                           int(p.dilation), CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              "convolution");
    check_dnn(l.SetConvolutionGroupCount(conv_, int(p.groups)), "groups");
    check_dnn(l.SetConvolutionMathType(conv_, real == DType::bf16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH), "math");
    check_dnn(l.CreateActivationDescriptor(&activation_), "activation");
    check_dnn(
        l.SetActivationDescriptor(activation_, relu_ ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY, CUDNN_PROPAGATE_NAN, 0),
        "activation");
    workspace_ = device.allocate(kWorkspace);
    if (relu_ && pass != Pass::forward)
      masked_ = device.allocate(masked_bytes_ = size_t(p.n * p.out_h() * p.out_w() * p.c_out) * dtype_size(real));
  }
  ~Convolution() {
    device_.deallocate(workspace_, kWorkspace);
    if (masked_) device_.deallocate(masked_, masked_bytes_);
  }
  Convolution(const Convolution&) = delete;

  void run(std::vector<void*>& a) {
    const Library& l = library();
    const float one = 1, zero = 0;
    switch (pass_) {
      case Pass::forward:
        if (algorithm_ < 0) find(a);
        if (!bias_ && !relu_)
          return check_dnn(l.ConvolutionForward(l.handle, &one, x_, a[2], w_, a[3], conv_, cudnnConvolutionFwdAlgo_t(algorithm_),
                                                workspace_, kWorkspace, &zero, y_, a[0]),
                           "forward");
        return check_dnn(
            l.ConvolutionBiasActivationForward(l.handle, &one, x_, a[2], w_, a[3], conv_, cudnnConvolutionFwdAlgo_t(algorithm_),
                                               workspace_, kWorkspace, &zero, y_, a[0], b_, a[4], activation_, y_, a[0]),
            "forward");
      case Pass::dgrad: {
        if (algorithm_ < 0) find(a);
        void* dy = gradient(a[1], a[3]);
        return check_dnn(
            l.ConvolutionBackwardData(l.handle, &one, w_, a[2], y_, dy, conv_, cudnnConvolutionBwdDataAlgo_t(algorithm_),
                                      workspace_, kWorkspace, &zero, x_, a[0]),
            "dgrad");
      }
      default: {
        if (algorithm_ < 0) find(a);
        void* dy = gradient(a[2], a[4]);
        if (bias_) check_dnn(l.ConvolutionBackwardBias(l.handle, &one, y_, dy, &zero, b_, a[1]), "bias");
        return check_dnn(
            l.ConvolutionBackwardFilter(l.handle, &one, x_, a[3], y_, dy, conv_, cudnnConvolutionBwdFilterAlgo_t(algorithm_),
                                        workspace_, kWorkspace, &zero, w_, a[0]),
            "wgrad");
      }
    }
  }

 private:
  static constexpr size_t kWorkspace = size_t{512} << 20;

  // dy where y > 0, in a pass of its own: cuDNN's convolutions do not mask.
  void* gradient(void* dy, void* y) {
    if (!relu_) return dy;
    const float one = 1, zero = 0;
    check_dnn(library().ActivationBackward(library().handle, activation_, &one, y_, y, y_, dy, y_, y, &zero, y_, masked_), "mask");
    return masked_;
  }

  // The first of those that Find timed that ran; the fused forward pass has one algorithm only.
  void find(std::vector<void*>& a) {
    const Library& l = library();
    int count = 0;
    const auto take = [&](cudnnStatus_t status, const auto& found) {
      check_dnn(status, "find");
      for (int i = 0; i < count && algorithm_ < 0; ++i)
        if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].memory <= kWorkspace) algorithm_ = int(found[i].algo);
      check<Error>(algorithm_ >= 0, "cudnn: no algorithm for this convolution");
    };
    if (pass_ == Pass::forward && (bias_ || relu_)) {
      check<Error>(bias_, "cudnn: its fused pass wants a bias");
      algorithm_ = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    } else if (pass_ == Pass::forward) {
      cudnnConvolutionFwdAlgoPerf_t found[8];
      take(l.FindConvolutionForwardAlgorithmEx(l.handle, x_, a[2], w_, a[3], conv_, y_, a[0], 8, &count, found, workspace_,
                                               kWorkspace),
           found);
    } else if (pass_ == Pass::dgrad) {
      cudnnConvolutionBwdDataAlgoPerf_t found[8];
      take(l.FindConvolutionBackwardDataAlgorithmEx(l.handle, w_, a[2], y_, a[1], conv_, x_, a[0], 8, &count, found, workspace_,
                                                    kWorkspace),
           found);
    } else {
      cudnnConvolutionBwdFilterAlgoPerf_t found[8];
      take(l.FindConvolutionBackwardFilterAlgorithmEx(l.handle, x_, a[3], y_, a[2], conv_, w_, a[0], 8, &count, found, workspace_,
                                                      kWorkspace),
           found);
    }
  }

  Device& device_;
  Pass pass_;
  bool bias_, relu_;
  int algorithm_ = -1;
  cudnnTensorDescriptor_t x_ = nullptr, y_ = nullptr, b_ = nullptr;  // descriptors live as long as the process
  cudnnFilterDescriptor_t w_ = nullptr;
  cudnnConvolutionDescriptor_t conv_ = nullptr;
  cudnnActivationDescriptor_t activation_ = nullptr;
  void *workspace_ = nullptr, *masked_ = nullptr;
  size_t masked_bytes_ = 0;
};

std::vector<Candidate> make(Device& device, const harness::Case& c, DType real) {
  const auto* p = params_of<Conv2dParams>(c);
  if (!p || c.op != Op::conv2d || library().name.empty()) return {};
  const bool bias = c.pass != Pass::dgrad && c.args[c.pass == Pass::forward ? 4 : 1].role != harness::Arg::absent;
  if (c.pass == Pass::forward && p->activation == Activation::relu && !bias) return {};
  if (c.pass == Pass::dgrad && c.args[4].role != harness::Arg::absent) return {};  // another gradient
  const auto convolution = std::make_shared<Convolution>(device, *p, c.pass, bias, real);
  Candidate one{library().name};
  one.run = [convolution](std::vector<void*>& a) { convolution->run(a); };
  return {one};
}

const RegisterBaseline registered(Backend::cuda, make);

}  // namespace
}  // namespace graft::bench
