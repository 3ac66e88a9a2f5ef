// One case file per op (tests/cases/<op>.cpp) drives the tests, the bits, the benchmark and the support table.
//
//   GRAFT_CASES(softmax) {
//     for (auto [rows, cols] : shapes)
//       add<SoftmaxForward>(Op::softmax, Pass::forward, fmt::format("rows={} cols={}", rows, cols), Tier::ci,
//                           {out(rows * cols), in(rows * cols)}, {.reduction = cols, .flops = ..., .bytes = ...},
//                           SoftmaxParams{rows, cols});
//   }
//
// The args stand in the order of the signature's pointers, the params in the order of its other parameters.
#pragma once
#include <any>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/half.h"
#include "kernels/common/registry.h"

namespace graft::harness {

enum class Tier { smoke, ci, full, bench };  // smoke: on emu in several schedules; ci: every run; full: by request; bench: timed

struct Arg {
  enum Role { output, input, in_out, absent } role;
  int64_t n = 0;
  enum Fill { normal, uniform, index, distinct, holes } fill = normal;
  double lo = 0, hi = 1;  // uniform in [lo, hi); index in [lo, hi); holes: normal, but every third value is lo
};
inline Arg out(int64_t n) { return {Arg::output, n}; }  // NaN before the call
inline Arg in(int64_t n) { return {Arg::input, n}; }    // standard normal
inline Arg in_uniform(int64_t n, double lo, double hi) { return {Arg::input, n, Arg::uniform, lo, hi}; }
inline Arg in_distinct(int64_t n) { return {Arg::input, n, Arg::distinct}; }  // a permutation: no ties for max
inline Arg index(int64_t n, int64_t first, int64_t below) { return {Arg::input, n, Arg::index, double(first), double(below)}; }
inline Arg index(int64_t n, int64_t below) { return index(n, 0, below); }
inline Arg in_holes(int64_t n, double value) { return {Arg::input, n, Arg::holes, value}; }  // NaN or an infinity, the first too
inline Arg in_out(int64_t n) { return {Arg::in_out, n}; }  // standard normal, compared after the call
inline Arg in_out_uniform(int64_t n, double lo, double hi) { return {Arg::in_out, n, Arg::uniform, lo, hi}; }
inline Arg absent() { return {Arg::absent}; }  // a null pointer

struct Cost {
  double reduction = 1;  // products summed into one output: the tolerance follows from it
  double flops = 0, bytes = 0;
  double scale = 0;            // natural size of the outputs where single values say little (an activation's tail); 0: their rms
  bool rounds_inside = false;  // a bf16 kernel rounds more than its outputs to bf16 (the probabilities of attention)
  // Where the outputs' sizes have a heavy tail, as sums weighted by probabilities do: the values of one sum, which share its
  // weights. An error of those roundings goes with the size of its own sum, not with the typical one.
  int64_t line = 0;
  bool on_emu = false;  // however many flops
};

// The memory of one argument, with guard zones on both sides.
class Buffer {
 public:
  // `inputs`: bf16 rounds the values of real inputs to it, so that runs in different types get the very same numbers.
  // `shift`: elements by which it lies behind a multiple of 16 bytes.
  Buffer(const Arg&, DType, uint64_t key, DType inputs = DType::f32, size_t shift = 0);
  void* data() { return data_in(bytes_.data()); }
  // With the guard zones, and the first element in a copy of it all at `memory`.
  std::vector<std::byte>& memory() { return bytes_; }
  void* data_in(std::byte* memory) const { return n_ < 0 ? nullptr : memory + start_; }
  bool guards_intact() const;
  std::vector<double> values() const;
  size_t size() const { return size_t(n_ < 0 ? 0 : n_); }
  const std::byte* payload() const { return bytes_.data() + start_; }
  size_t payload_bytes() const { return size() * dtype_size(dtype_); }

 private:
  static constexpr size_t kGuard = 256;
  DType dtype_;
  int64_t n_;
  size_t start_;  // bytes before the first element
  std::vector<std::byte> bytes_;
};

// A copy of a struct where kernels of the backend can read it.
class Placed {
 public:
  Placed(const void*, size_t bytes, Backend, Context&);
  ~Placed();
  Placed(const Placed&) = delete;
  template <class T>
  const T* get() const {
    return static_cast<const T*>(on_device_ ? on_device_ : host_.data());
  }

 private:
  std::vector<std::byte> host_;
  void* stream_;
  void* on_device_ = nullptr;
  std::any visible_;
};

struct Case {
  Op op;
  Pass pass;
  std::string name;
  Tier tier;
  std::vector<Arg> args;
  Cost cost;
  // Element types of the args when the op runs in `real` (f32, f64 or bf16); integer arguments keep their own.
  std::function<std::vector<DType>(DType real)> dtypes;
  std::function<void(Context&, Backend, DType real, std::vector<void*>& args)> run;
  std::any params{};  // the first parameter struct of the call: what a vendor's library is told (bench/baselines)
};

std::vector<Case>& all_cases();
void add(Case);
// The cases that `generator` adds, for the caller alone: all_cases() stays as it was.
std::vector<Case> collect(const std::function<void()>& generator);

namespace detail {

template <class... P>
std::vector<DType> buffer_dtypes(void (*)(Context&, P...)) {
  std::vector<DType> v;
  const auto one = [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_pointer_v<T>) v.push_back(dtype_of<std::remove_cv_t<std::remove_pointer_t<T>>>);
  };
  (one(std::type_identity<P>{}), ...);
  return v;
}

template <class... P>
constexpr size_t count_before(size_t end, bool pointers) {
  constexpr std::array<bool, sizeof...(P)> kIsPointer{std::is_pointer_v<P>...};
  size_t n = 0;
  for (size_t i = 0; i < end; ++i) n += kIsPointer[i] == pointers;
  return n;
}

template <class... P, class Params>
void call_kernel(void (*kernel)(Context&, P...), Context& context, std::vector<void*>& args, const Params& params) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    const auto argument = [&]<size_t i, class T>() -> T {
      if constexpr (std::is_pointer_v<T>) return static_cast<T>(args[count_before<P...>(i, true)]);
      else return std::get<count_before<P...>(i, false)>(params);
    };
    kernel(context, argument.template operator()<I, P>()...);
  }(std::index_sequence_for<P...>{});
}

}  // namespace detail

template <template <class> class Signature, class... Params>
void add(Op op, Pass pass, std::string name, Tier tier, std::vector<Arg> args, Cost cost, Params... params) {
  Case c{op, pass, std::move(name), tier, std::move(args), cost, {}, {}};
  const auto with = [](DType real, auto f) {
    switch (real) {
      case DType::f64: return f(std::type_identity<double>{});
      case DType::bf16: return f(std::type_identity<BFloat16>{});
      default: return f(std::type_identity<float>{});
    }
  };
  c.dtypes = [with](DType real) {
    return with(real, []<class T>(std::type_identity<T>) { return detail::buffer_dtypes(static_cast<Signature<T>*>(nullptr)); });
  };
  c.run = [op, pass, with, p = std::tuple(params...)](Context& context, Backend backend, DType real, std::vector<void*>& a) {
    with(real, [&]<class T>(std::type_identity<T>) {
      const auto any = find_kernel(op, pass, backend, real, typeid(Signature<T>));
      detail::call_kernel(reinterpret_cast<Signature<T>*>(any), context, a, p);
    });
  };
  if constexpr (sizeof...(Params) > 0) c.params = std::get<0>(std::tuple(params...));
  add(std::move(c));
}

struct RegisterCases {
  explicit RegisterCases(void (*f)());
};
#define GRAFT_CASES(op)                                                                \
  static void cases_of_##op();                                                         \
  static const ::graft::harness::RegisterCases registered_##op##_cases(cases_of_##op); \
  static void cases_of_##op()

// 600 tensors of none to three elements: more than one launch of a kernel for many tensors takes.
std::vector<int64_t> many_tensors();
std::string sizes_text(const std::vector<int64_t>&);  // "1,9,17", or how many and their sum

// Runs a case on a backend. Throws on a damaged guard zone. Returns the buffers after the call. `inputs`: what the values of
// real inputs are rounded to; the oracle of a bf16 kernel is ref in double on inputs rounded to bf16.
// `shifted`: the number of an argument that starts one element behind a multiple of 16 bytes, as all others do; -1: none.
std::vector<Buffer> run_case(const Case&, Context&, Backend, DType real, DType inputs, int shifted = -1);
inline std::vector<Buffer> run_case(const Case& c, Context& context, Backend backend, DType real) {
  return run_case(c, context, backend, real, real);
}

}  // namespace graft::harness
