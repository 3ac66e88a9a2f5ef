// oneDNN (Debian: libdnnl-dev) in a module of its own, which the benchmark loads where it was built: so that its OpenMP threads
// can be told, before they start, not to spin for milliseconds beside whoever is timed next. Arguments come as Graft's
// kernels get them (NHWC, filters [Cout, kh, kw, Cin/groups]); what a layout of oneDNN's own needs to be reordered is
// reordered in every call, as a training step would have to.
#include <dnnl.hpp>
#include <omp.h>

#include <memory>
#include <unordered_map>

#include "bench/baselines/onednn.h"

namespace graft::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Dims = memory::dims;

struct Engine {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};
Engine& shared_engine() {
  static Engine e;
  return e;
}

memory::desc plain(const Dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }
memory::desc any(const Dims& dims) { return plain(dims, Tag::any); }

// A tensor in the layout of the caller, and in the one that a primitive prefers.
struct Operand {
  memory user, preferred;
  bool same = false;
  Operand(const memory::desc& mine, const memory::desc& wanted)
      : user(mine, shared_engine().engine, nullptr), preferred(user), same(mine == wanted) {
    if (!same) preferred = memory(wanted, shared_engine().engine);
  }
  void set(void* p) { user.set_data_handle(p); }
  void in() {
    if (!same) dnnl::reorder(user, preferred).execute(shared_engine().stream, user, preferred);
  }
  void back() {
    if (!same) dnnl::reorder(preferred, user).execute(shared_engine().stream, preferred, user);
  }
};

struct Problem {
  Dims x, w, y, strides, dilates, padding;
  memory::desc x_user, w_user, y_user;
  bool relu;
};

Problem problem(const Conv2dParams& p) {
  Problem q;
  const int64_t g = p.groups;
  q.x = {p.n, p.c_in, p.h, p.w}, q.y = {p.n, p.c_out, p.out_h(), p.out_w()};
  q.w = g > 1 ? Dims{g, p.c_out / g, p.c_in / g, p.kh, p.kw} : Dims{p.c_out, p.c_in, p.kh, p.kw};
  q.strides = {p.stride, p.stride}, q.dilates = {p.dilation - 1, p.dilation - 1}, q.padding = {p.padding, p.padding};
  // Padding on the far side so that the output has our size.
  q.x_user = plain(q.x, Tag::nhwc), q.y_user = plain(q.y, Tag::nhwc), q.w_user = plain(q.w, g > 1 ? Tag::gohwi : Tag::ohwi);
  q.relu = p.activation == Activation::relu;
  return q;
}

Dims far_padding(const Conv2dParams& p) {
  const auto far = [&](int64_t out, int64_t k, int64_t in) {
    return (out - 1) * p.stride + p.dilation * (k - 1) + 1 - in - p.padding;
  };
  return {far(p.out_h(), p.kh, p.h), far(p.out_w(), p.kw, p.w)};
}

struct Convolution {
  Conv2dParams p;
  Problem q;
  dnnl::primitive primitive, mask;
  std::unique_ptr<Operand> x, w, y, saved;
  memory bias, masked;

  dnnl::convolution_forward::primitive_desc forward_desc(bool with_bias, bool fuse) const {
    dnnl::primitive_attr attr;
    if (fuse && q.relu) {
      dnnl::post_ops ops;
      ops.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
      attr.set_post_ops(ops);
    }
    const auto bias_desc = with_bias ? plain({p.c_out}, Tag::x) : memory::desc();
    const auto kind = fuse ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
    return {{kind, dnnl::algorithm::convolution_direct, q.x_user, any(q.w), bias_desc, q.y_user, q.strides, q.dilates, q.padding,
             far_padding(p)},
            attr,
            shared_engine().engine};
  }

  Convolution(const Conv2dParams& params, Pass pass, bool with_bias) : p(params), q(problem(params)) {
    auto& e = shared_engine();
    const auto bias_desc = with_bias ? plain({p.c_out}, Tag::x) : memory::desc();
    if (with_bias) bias = memory(bias_desc, e.engine, nullptr);
    if (pass == Pass::forward) {
      const auto d = forward_desc(with_bias, true);
      x = std::make_unique<Operand>(q.x_user, d.src_desc()), w = std::make_unique<Operand>(q.w_user, d.weights_desc());
      y = std::make_unique<Operand>(q.y_user, d.dst_desc());
      primitive = dnnl::convolution_forward(d);
      return;
    }
    const auto hint = forward_desc(with_bias, false);
    if (pass == Pass::dgrad) {
      const dnnl::convolution_backward_data::primitive_desc d(
          {dnnl::algorithm::convolution_direct, q.x_user, any(q.w), q.y_user, q.strides, q.dilates, q.padding, far_padding(p)},
          e.engine, hint);
      x = std::make_unique<Operand>(q.x_user, d.diff_src_desc()), w = std::make_unique<Operand>(q.w_user, d.weights_desc());
      y = std::make_unique<Operand>(q.y_user, d.diff_dst_desc());
      primitive = dnnl::convolution_backward_data(d);
    } else {
      const dnnl::convolution_backward_weights::primitive_desc d(
          {dnnl::algorithm::convolution_direct, q.x_user, any(q.w), bias_desc, q.y_user, q.strides, q.dilates, q.padding,
           far_padding(p)},
          e.engine, hint);
      x = std::make_unique<Operand>(q.x_user, d.src_desc()), w = std::make_unique<Operand>(q.w_user, d.diff_weights_desc());
      y = std::make_unique<Operand>(q.y_user, d.diff_dst_desc());
      primitive = dnnl::convolution_backward_weights(d);
    }
    if (!q.relu) return;
    saved = std::make_unique<Operand>(q.y_user, q.y_user);
    masked = memory(q.y_user, e.engine);
    const dnnl::eltwise_forward::primitive_desc f(
        {dnnl::prop_kind::forward_training, dnnl::algorithm::eltwise_relu_use_dst_for_bwd, q.y_user, 0.0f}, e.engine);
    mask = dnnl::eltwise_backward(dnnl::eltwise_backward::primitive_desc(
        {dnnl::algorithm::eltwise_relu_use_dst_for_bwd, q.y_user, q.y_user, 0.0f}, e.engine, f));
  }

  // dy, masked by y > 0 where a ReLU follows, as the primitive reads it.
  memory gradient(void* dy, void* y_saved) {
    auto& e = shared_engine();
    y->set(dy);
    if (!q.relu) return y->user;
    saved->set(y_saved);
    mask.execute(e.stream, {{DNNL_ARG_DIFF_DST, y->user}, {DNNL_ARG_DST, saved->user}, {DNNL_ARG_DIFF_SRC, masked}});
    return masked;
  }

  void forward(std::vector<void*>& a) {
    y->set(a[0]), x->set(a[1]), w->set(a[2]);
    x->in(), w->in();
    std::unordered_map<int, memory> args{
        {DNNL_ARG_SRC, x->preferred}, {DNNL_ARG_WEIGHTS, w->preferred}, {DNNL_ARG_DST, y->preferred}};
    if (a[3]) bias.set_data_handle(a[3]), args.emplace(DNNL_ARG_BIAS, bias);
    primitive.execute(shared_engine().stream, args);
    y->back();
  }
  void dgrad(std::vector<void*>& a) {
    x->set(a[0]), w->set(a[2]);
    w->in();
    primitive.execute(
        shared_engine().stream,
        {{DNNL_ARG_DIFF_SRC, x->preferred}, {DNNL_ARG_WEIGHTS, w->preferred}, {DNNL_ARG_DIFF_DST, gradient(a[1], a[3])}});
    x->back();
  }
  void wgrad(std::vector<void*>& a) {
    w->set(a[0]), x->set(a[3]);
    x->in();
    std::unordered_map<int, memory> args{
        {DNNL_ARG_DIFF_WEIGHTS, w->preferred}, {DNNL_ARG_SRC, x->preferred}, {DNNL_ARG_DIFF_DST, gradient(a[2], a[4])}};
    if (a[1]) bias.set_data_handle(a[1]), args.emplace(DNNL_ARG_DIFF_BIAS, bias);
    primitive.execute(shared_engine().stream, args);
    w->back();
  }
};

}  // namespace
}  // namespace graft::bench

using graft::bench::Convolution;

extern "C" {

const char* graft_onednn_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return text.c_str();
}

void graft_onednn_threads(int threads) {
  omp_set_num_threads(threads);
#pragma omp parallel
  {  // wakes them
  }
}

// Null where oneDNN has no such primitive.
void* graft_onednn_convolution(const graft::Conv2dParams* p, int pass, int with_bias) {
  try {
    return new Convolution(*p, graft::Pass(pass), with_bias != 0);
  } catch (const std::exception&) {
    return nullptr;
  }
}
void graft_onednn_convolve(void* convolution, int pass, std::vector<void*>* args) {
  auto& c = *static_cast<Convolution*>(convolution);
  switch (graft::Pass(pass)) {
    case graft::Pass::forward: c.forward(*args); break;
    case graft::Pass::dgrad: c.dgrad(*args); break;
    default: c.wgrad(*args);
  }
  graft::bench::shared_engine().stream.wait();
}
void graft_onednn_destroy(void* convolution) { delete static_cast<Convolution*>(convolution); }

// Row-major, as cblas.
int graft_onednn_sgemm(char ta, char tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                       float beta, float* c, int64_t ldc) {
  return dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc);
}
}
