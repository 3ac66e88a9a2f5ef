// Every version of attention on emu, in order and in random schedules, against ref in double on the same inputs: lengths that
// are no multiple of a tile, one query before a long cache, nothing but padding, windows smaller than a tile, three query
// heads a key head.
#include "kernels/attention/attention.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>

#include "io/weights/weights.h"
#include "kernels/attention/attention_ref.h"
#include "kernels/common/error.h"
#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "kernels/common/versions.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::harness;

namespace {

struct Sizes {
  int64_t batch, queries, keys, heads, kv_heads, head_dim;
  bool causal = false;
  int64_t window = 0;
  std::vector<int64_t> lengths = {};
  int64_t q_row = 0, kv_row = 0;  // what lies between the rows is NaN and stays it
};

constexpr int64_t kAny = 24;   // a head_dim that only version 1 accepts
constexpr size_t kGuard = 16;  // elements behind every output that nobody may touch

template <class T>
struct Array {
  std::vector<T> v;
  size_t n;
  explicit Array(size_t n) : v(n + kGuard, T(NAN)), n(n) {}
  Array(size_t n, uint64_t key) : Array(n) {
    for (size_t i = 0; i < n; ++i) v[i] = T(float(BFloat16(float(Philox{key, 0}.normal(i)))));
  }
  template <class U>
  explicit Array(const Array<U>& other) : Array(other.n) {
    for (size_t i = 0; i < n; ++i) v[i] = T(float(other.v[i]));
  }
  std::vector<double> values() const {
    std::vector<double> d;
    for (size_t i = 0; i < n; ++i) d.push_back(double(float(v[i])));
    return d;
  }
  bool same_bits(const Array& other) const { return std::memcmp(v.data(), other.v.data(), n * sizeof(T)) == 0; }
  bool guard_intact() const {
    return std::all_of(v.begin() + int64_t(n), v.end(), [](T x) { return std::isnan(float(x)); });
  }
};
template <>
std::vector<double> Array<double>::values() const {
  return {v.begin(), v.begin() + int64_t(n)};
}

// One problem in T. y and lse are outputs of forward and inputs of backward.
template <class T>
struct Problem {
  AttentionParams p;
  const int64_t* lengths;
  Array<T> q, k, v, dy, y, dq, dk, dv;
  Array<Accumulate<T>> lse;

  explicit Problem(const Sizes& s)
      : p{s.batch,  s.queries, s.keys,  s.heads, s.kv_heads, s.head_dim, 1 / std::sqrt(double(s.head_dim)),
          s.causal, s.window,  s.q_row, s.kv_row},
        lengths(s.lengths.empty() ? nullptr : s.lengths.data()),
        q(size_t(p.batch * p.queries * p.q_step()), 1),
        k(size_t(p.batch * p.keys * p.kv_step()), 2),
        v(k.n, 3),
        dy(size_t(p.batch * p.queries * p.y_step()), 4),
        y(dy.n),
        dq(q.n),
        dk(k.n),
        dv(k.n),
        lse(size_t(p.batch * p.heads * p.queries)) {
    const int64_t sample = p.keys * p.kv_step(), used = p.kv_heads * p.head_dim;
    for (int64_t b = 0; b < p.batch; ++b)  // neither padding nor what lies between rows is ever read
      for (int64_t i = 0; i < sample; ++i)
        if ((lengths && i >= lengths[b] * p.kv_step()) || i % p.kv_step() >= used)
          k.v[size_t(b * sample + i)] = v.v[size_t(b * sample + i)] = T(NAN);
    for (size_t i = 0; i < q.n; ++i)
      if (int64_t(i) % p.q_step() >= p.y_step()) q.v[i] = T(NAN);
  }

  void forward(Context& c) { ref::attention_forward(c, y.v.data(), lse.v.data(), q.v.data(), k.v.data(), v.v.data(), lengths, p); }
  void backward(Context& c) {
    ref::attention_backward(c, dq.v.data(), dk.v.data(), dv.v.data(), dy.v.data(), q.v.data(), k.v.data(), v.v.data(), y.v.data(),
                            lse.v.data(), lengths, p);
  }
  void forward_on_emu(Context& c) {
    const auto any = find_kernel(Op::attention, Pass::forward, Backend::emu, dtype_of<T>, typeid(AttentionForward<T>));
    reinterpret_cast<AttentionForward<T>*>(any)(c, y.v.data(), lse.v.data(), q.v.data(), k.v.data(), v.v.data(), lengths, p);
  }
  void backward_on_emu(Context& c) {
    const auto any = find_kernel(Op::attention, Pass::backward, Backend::emu, dtype_of<T>, typeid(AttentionBackward<T>));
    reinterpret_cast<AttentionBackward<T>*>(any)(c, dq.v.data(), dk.v.data(), dv.v.data(), dy.v.data(), q.v.data(), k.v.data(),
                                                 v.v.data(), y.v.data(), lse.v.data(), lengths, p);
  }
};

enum class DeltaFrom { exact_y, rounded_y };  // by 2^-8, so that delta is off by 2^-8 |dy| . |y|

// Of every output, the sum of its terms' sizes.
struct TermSizes {
  std::vector<double> y, dq, dk, dv;

  explicit TermSizes(const Problem<double>& x, DeltaFrom from = DeltaFrom::exact_y) : y(x.y.n), dq(x.q.n), dk(x.k.n), dv(x.k.n) {
    const int64_t D = x.p.head_dim, step = x.p.kv_step();
    ref::for_queries(x.p, x.lengths, [&](int64_t query, int64_t out, int64_t row, int64_t kv, Interval keys) {
      const double* q = &x.q.v[size_t(query)];
      const double* dy = &x.dy.v[size_t(out)];
      for (int64_t j = keys.begin; j < keys.end; ++j) {
        const size_t key = size_t(kv + j * step);
        const double prob = std::exp(x.p.scale * ref::dot(q, &x.k.v[key], D) - x.lse.v[size_t(row)]);
        const double delta = ref::dot(dy, &x.y.v[size_t(out)], D);
        double ds = std::abs(ref::dot(dy, &x.v.v[key], D) - delta);
        for (int64_t d = 0; d < D && from == DeltaFrom::rounded_y; ++d) ds += std::abs(dy[d] * x.y.v[size_t(out + d)]);
        ds *= x.p.scale * prob;
        for (size_t d = 0; d < size_t(D); ++d) {
          y[size_t(out) + d] += prob * std::abs(x.v.v[key + d]), dq[size_t(query) + d] += ds * std::abs(x.k.v[key + d]);
          dk[key + d] += ds * std::abs(q[d]), dv[key + d] += prob * std::abs(dy[d]);
        }
      }
    });
  }
};

// fp32 sums; bf16 outputs are rounded once. Versions from 3 on round P and dS to bf16 as well: by 2^-8 of each term at most.
template <class T, class A>
void expect(const char* what, const Array<A>& actual, const Array<double>& expected, double reduction, int version,
            const std::vector<double>& terms, double size = 0) {
  const std::vector<double> e = expected.values();
  std::vector<double> a = actual.values();
  Tolerance t = rounding(0x1p-23, reduction, e);
  t.scale = std::max(t.scale, size);
  if (sizeof(A) == 2) t.stored = 0x1p-8;
  if (sizeof(T) == 2 && version >= 3 && !terms.empty())
    for (size_t i = 0; i < e.size(); ++i) {
      const double allowed = 0x1p-8 * terms[i] * (1 + t.stored);
      a[i] = std::abs(a[i] - e[i]) <= allowed ? e[i] : a[i] - std::copysign(allowed, a[i] - e[i]);
    }
  const Comparison r = compare<double>(a, e, t);
  CHECK_MESSAGE(r.ok, what, ": ", r.report);
  CHECK_MESSAGE(actual.guard_intact(), what, ": written behind its end");
}

template <class T>
void check_versions(const Sizes& s, int from = 1) {
  Context context(1);
  Problem<double> exact(s);
  exact.forward(context);
  Problem<T> of_backward(s);  // its y and lse are rounded as a forward pass stores them, for ref and emu alike
  of_backward.y = Array<T>(exact.y), of_backward.lse = Array<Accumulate<T>>(exact.lse);
  Problem<double> rounded = exact;
  rounded.y = Array<double>(of_backward.y), rounded.lse = Array<double>(of_backward.lse);
  rounded.backward(context);
  const TermSizes terms(rounded);
  const double reduction = double(s.keys + s.head_dim), both = reduction + double(s.queries * s.heads / s.kv_heads);
  for (Pass pass : {Pass::forward, Pass::backward})
    for (const Version& version : versions(Op::attention, pass, Backend::emu, dtype_of<T>)) {
      if (version.number < from || (version.number == 1) != (s.head_dim == kAny) || (version.number == 4 && s.head_dim == 32))
        continue;
      Problem<T> in_order = of_backward;
      for (uint64_t seed : {0, 1}) {
        INFO(name(dtype_of<T>), " ", name(pass), " version ", version.number, " schedule ", seed, ": batch=", s.batch,
             " queries=", s.queries, " keys=", s.keys, " heads=", s.heads, "/", s.kv_heads, " dim=", s.head_dim,
             " causal=", s.causal, " window=", s.window, " padded=", !s.lengths.empty());
        context.set_version(Op::attention, version.number);
        emu::options().seed = seed;
        try {
          if (pass == Pass::forward) {
            Problem<T> run(s);
            run.forward_on_emu(context);
            expect<T>("y", run.y, exact.y, reduction, version.number, terms.y);
            expect<T>("lse", run.lse, exact.lse, reduction, version.number, {});
          } else {
            Problem<T> run = of_backward;
            run.backward_on_emu(context);
            const double size = s.keys == 1;  // of dy . v - delta before they cancel, over sqrt(head_dim)
            expect<T>("dq", run.dq, rounded.dq, both, version.number, terms.dq, size);
            expect<T>("dk", run.dk, rounded.dk, both, version.number, terms.dk, size);
            expect<T>("dv", run.dv, rounded.dv, both, version.number, terms.dv);
            if (seed == 0) in_order = run;
            CHECK((run.dq.same_bits(in_order.dq) && run.dk.same_bits(in_order.dk) && run.dv.same_bits(in_order.dv)));
          }
        } catch (const Error& e) {
          FAIL_CHECK(std::string(e.what()));
        }
      }
    }
  emu::options().seed = 0;
}

// One case of PyTorch in float64, forward and backward of every version on what that version's forward pass stored.
template <class T>
void check_golden(const Sizes& s, double scale, const std::function<Tensor(const char*)>& find) {
  Context context(1);
  Problem<double> exact(s);
  exact.p.scale = scale > 0 ? scale : exact.p.scale;
  const auto take = [&](Array<double>& to, const char* name) {
    const auto v = find(name).to_vector<double>();
    REQUIRE(v.size() == to.n);
    std::copy(v.begin(), v.end(), to.v.begin());
  };
  take(exact.q, "q"), take(exact.k, "k"), take(exact.v, "v"), take(exact.dy, "dy");
  exact.forward(context);  // for lse only
  take(exact.y, "y"), take(exact.dq, "dq"), take(exact.dk, "dk"), take(exact.dv, "dv");
  const TermSizes terms(exact, DeltaFrom::rounded_y);
  for (const Version& version : versions(Op::attention, Pass::forward, Backend::emu, dtype_of<T>)) {
    INFO(name(dtype_of<T>), " version ", version.number);
    context.set_version(Op::attention, version.number);
    Problem<T> run(s);
    run.p = exact.p;
    run.q = Array<T>(exact.q), run.k = Array<T>(exact.k), run.v = Array<T>(exact.v), run.dy = Array<T>(exact.dy);
    try {
      run.forward_on_emu(context);
      expect<T>("y", run.y, exact.y, 512, 3, terms.y);
      run.backward_on_emu(context);
      expect<T>("dq", run.dq, exact.dq, 512, 3, terms.dq);
      expect<T>("dk", run.dk, exact.dk, 512, 3, terms.dk);
      expect<T>("dv", run.dv, exact.dv, 512, 3, terms.dv);
    } catch (const ConfigError&) {
      CHECK((version.number > 1 && s.head_dim <= 32));
    }
  }
}

void check(int64_t dim) {
  for (const Sizes& s : {
           Sizes{1, 1, 1, 1, 1, dim},
           Sizes{1, 1, 150, 3, 1, dim},                     // one query before a cache
           Sizes{1, 70, 67, 1, 1, dim},                     // ragged tiles both ways
           Sizes{1, 67, 67, 1, 1, dim, true},               // the diagonal
           Sizes{1, 9, 75, 3, 1, dim, true, 5},             // a window smaller than a tile, far from the first key
           Sizes{1, 80, 70, 1, 1, dim, true},               // the first queries see nothing
           Sizes{1, 66, 66, 1, 1, dim, false, 3},           // both sides of a diagonal
           Sizes{3, 5, 8, 2, 1, dim, false, 0, {8, 0, 3}},  // a sample of nothing but padding
           Sizes{2, 6, 70, 1, 1, dim, true, 0, {65, 2}},    // padding before the diagonal
           Sizes{2, 67, 67, 4, 2, dim, true, 0, {67, 40}, 8 * dim, 8 * dim},  // the steps of one tensor of q, k and v
           Sizes{1, 9, 70, 2, 1, dim, false, 0, {}, 2 * dim + 8, dim + 24},
       }) {
    check_versions<float>(s);
    check_versions<BFloat16>(s);
  }
}

}  // namespace

TEST_CASE("versions attention head_dim 32") { check(32); }
TEST_CASE("versions attention head_dim 64") { check(64); }
TEST_CASE("versions attention head_dim 128") { check(128); }
TEST_CASE("versions attention any head_dim") { check(kAny); }

TEST_CASE("versions attention: every version agrees with PyTorch") {
  std::map<std::string, Tensor> golden;
  for (auto& [name, t] : io::load_weights(GRAFT_SOURCE_DIR "/tests/golden/attention.safetensors")) golden[name] = t;
  int in_bf16 = 0;
  for (int n = 0; golden.count(fmt::format("attention/{}/params", n)); ++n) {
    INFO("golden case ", n);
    const auto find = [&](const char* what) { return golden[fmt::format("attention/{}/{}", n, what)]; };
    const Tensor q = find("q"), k = find("k"), lengths = find("lengths");
    const auto params = find("params").to_vector<double>();
    const Sizes s{q.size(0),      q.size(1),          k.size(1),
                  q.size(2),      k.size(2),          q.size(3),
                  params[0] != 0, int64_t(params[1]), lengths ? lengths.to_vector<int64_t>() : std::vector<int64_t>{}};
    check_golden<float>(s, params[2], find);
    const auto exact_in_bf16 = [](const Tensor& t) {
      const auto v = t.to_vector<float>();
      return std::all_of(v.begin(), v.end(), [](float x) { return float(BFloat16(x)) == x; });
    };
    if (exact_in_bf16(q)) check_golden<BFloat16>(s, params[2], find), ++in_bf16;
  }
  CHECK(in_bf16 == 4);
}

TEST_CASE("versions attention: rings of tiles go round") {
  for (int64_t dim : {64, 128}) {
    check_versions<float>({1, 40, 300, 1, 1, dim, true, 150}, 5);
    check_versions<BFloat16>({1, 130, 650, 1, 1, dim}, 3);
    check_versions<BFloat16>({1, 300, 420, 1, 1, dim, true}, 3);
    check_versions<BFloat16>({2, 129, 530, 1, 1, dim, true, 300, {530, 470}}, 3);
    check_versions<BFloat16>({1, 200, 150, 4, 2, dim, true}, 3);                    // two query heads in the ring of a key head
    check_versions<BFloat16>({3, 300, 300, 2, 1, dim, true, 0, {300, 0, 120}}, 3);  // items, long and empty, in turns
  }
}

TEST_CASE("versions attention: a causal row on tensor cores has the same bits whatever follows") {
  Context context(1);
  for (int version : {3, 4}) {
    context.set_version(Op::attention, version);
    Problem<BFloat16> all({1, 200, 200, 2, 1, 64, true}), start({1, 61, 61, 2, 1, 64, true});
    all.forward_on_emu(context);
    start.forward_on_emu(context);  // the batch is 1: its rows begin as those of the longer one
    for (size_t i = 0; i < start.y.n; ++i) CHECK(start.y.v[i].bits == all.y.v[i].bits);
    for (size_t i = 0; i < start.lse.n; ++i) CHECK(start.lse.v[i] == all.lse.v[i / 61 * 200 + i % 61]);
  }
}

TEST_CASE("versions attention: no version but the first takes any head_dim") {
  Context context(1);
  for (const Version& v : versions(Op::attention, Pass::forward, Backend::emu, DType::f32)) {
    if (v.number == 1) continue;
    context.set_version(Op::attention, v.number);
    Problem<float> run({1, 2, 2, 1, 1, kAny});
    CHECK_THROWS_AS(run.forward_on_emu(context), ConfigError);
    CHECK_THROWS_AS(run.backward_on_emu(context), ConfigError);
  }
}

TEST_CASE("versions attention: on Hopper wants head_dim 64 or 128, a key, and rows at 16 bytes") {
  Context context(1);
  context.set_version(Op::attention, 4);
  const auto runs = [&](const Sizes& s, bool aligned) {
    Problem<BFloat16> x(s);
    x.lse = Array<float>(x.lse.n, 5);
    const AttentionParams& p = x.p;
    BFloat16* const q = x.q.v.data() + (aligned ? 0 : 1);
    bool forward = true, backward = true;
    const auto find = [](Pass pass, const std::type_info& type) {
      return find_kernel(Op::attention, pass, Backend::emu, DType::bf16, type);
    };
    try {
      reinterpret_cast<AttentionForward<BFloat16>*>(find(Pass::forward, typeid(AttentionForward<BFloat16>)))(
          context, x.y.v.data(), x.lse.v.data(), q, x.k.v.data(), x.v.v.data(), nullptr, p);
    } catch (const ConfigError&) {
      forward = false;
    }
    x.y = Array<BFloat16>(x.y.n, 6);
    try {
      reinterpret_cast<AttentionBackward<BFloat16>*>(find(Pass::backward, typeid(AttentionBackward<BFloat16>)))(
          context, x.dq.v.data(), x.dk.v.data(), x.dv.v.data(), x.dy.v.data(), q, x.k.v.data(), x.v.v.data(), x.y.v.data(),
          x.lse.v.data(), nullptr, p);
    } catch (const ConfigError&) {
      backward = false;
    }
    CHECK(forward == backward);
    return forward;
  };
  CHECK(runs({1, 3, 2, 1, 1, 64}, true));
  CHECK(runs({1, 3, 2, 1, 1, 128}, true));
  CHECK_FALSE(runs({1, 3, 2, 1, 1, 32}, true));
  CHECK_FALSE(runs({1, 3, 0, 1, 1, 64}, true));
  CHECK_FALSE(runs({1, 3, 2, 1, 1, 64}, false));
  CHECK(runs({1, 3, 2, 1, 1, 64, false, 0, {}, 72, 80}, true));
  CHECK_FALSE(runs({1, 3, 2, 1, 1, 64, false, 0, {}, 68, 64}, true));
  CHECK_FALSE(runs({1, 3, 2, 1, 1, 64, false, 0, {}, 64, 65}, true));
}
