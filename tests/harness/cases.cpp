#include "tests/harness/cases.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/common/philox.h"
#include "kernels/runtime/cuda/memory.h"
#include "kernels/runtime/emu/emu.h"

namespace graft::harness {
namespace {

std::vector<void (*)()>& generators() {
  static std::vector<void (*)()> g;
  return g;
}

std::vector<Case>& storage() {
  static std::vector<Case> cases;
  return cases;
}

// Calls f with a value of the element type of a buffer.
template <class F>
auto visit(DType t, F f) {
  switch (t) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::bf16: return f(BFloat16{});
    case DType::i64: return f(int64_t{});
    case DType::i32: return f(int32_t{});
    case DType::u8: return f(uint8_t{});
    default: throw InternalError("cases: no buffers of this dtype");
  }
}

// Rounded to float, so a run in double gets the very same inputs.
double value(const Arg& a, const Philox& random, int64_t i, int64_t step) {
  switch (a.fill) {
    case Arg::normal: return float(random.normal(uint64_t(i)));
    case Arg::uniform: return float(a.lo + (a.hi - a.lo) * random.uniform(uint64_t(i)));
    case Arg::index: return a.lo + double(random.below(uint64_t(i), uint64_t(a.hi - a.lo)));
    case Arg::holes: return i % 3 == 0 ? a.lo : float(random.normal(uint64_t(i)));
    case Arg::distinct: return float(4.0 * double((i * step + 7) % a.n) / double(a.n) - 2.0);
  }
  return 0;
}

}  // namespace

RegisterCases::RegisterCases(void (*f)()) { generators().push_back(f); }

std::vector<int64_t> many_tensors() {
  std::vector<int64_t> n;
  for (int64_t i = 0; i < 600; ++i) n.push_back((i + 1) % 4);
  return n;
}
std::string sizes_text(const std::vector<int64_t>& sizes) {
  if (sizes.size() > 3)
    return fmt::format("{} in {} tensors", std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), sizes.size());
  return fmt::format("{}", fmt::join(sizes, ","));
}

void add(Case c) { storage().push_back(std::move(c)); }

std::vector<Case>& all_cases() {
  for (auto g : std::exchange(generators(), {})) g();
  return storage();
}

std::vector<Case> collect(const std::function<void()>& generator) {
  std::vector<Case> kept = std::exchange(all_cases(), {});
  generator();
  return std::exchange(storage(), std::move(kept));
}

Buffer::Buffer(const Arg& a, DType dtype, uint64_t key, DType inputs, size_t shift)
    : dtype_(dtype), n_(a.role == Arg::absent ? -1 : a.n), start_(kGuard + shift * dtype_size(dtype)) {
  bytes_.assign(start_ + payload_bytes() + kGuard, std::byte{0xA5});
  std::byte* p = bytes_.data() + start_;
  if (a.role == Arg::output) std::memset(p, 0xFF, payload_bytes());
  if (a.role != Arg::input && a.role != Arg::in_out) return;
  const Philox random{key, 0};
  int64_t step = a.n / 2 + 1;  // of an affine permutation of [0, n)
  while (std::gcd(step, std::max<int64_t>(a.n, 1)) != 1) ++step;
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    constexpr bool kReal = !std::is_integral_v<T>;
    default_pool().parallel_range(n_, 1 << 16, [&](int64_t begin, int64_t end) {  // hundreds of MB in the benchmark
      for (int64_t i = begin; i < end; ++i) {
        double v = value(a, random, i, step);
        if (kReal && inputs == DType::bf16) v = float(BFloat16(float(v)));
        reinterpret_cast<T*>(p)[i] = T(v);
      }
    });
  });
}

bool Buffer::guards_intact() const {
  const auto intact = [&](size_t begin, size_t end) {
    return std::all_of(bytes_.begin() + ptrdiff_t(begin), bytes_.begin() + ptrdiff_t(end),
                       [](std::byte b) { return b == std::byte{0xA5}; });
  };
  return intact(0, start_) && intact(start_ + payload_bytes(), bytes_.size());
}

Placed::Placed(const void* p, size_t bytes, Backend backend, Context& context)
    : host_(static_cast<const std::byte*>(p), static_cast<const std::byte*>(p) + bytes), stream_(context.stream()) {
  if (backend == Backend::emu) visible_ = std::make_shared<emu::Visible>(host_.data(), bytes);
  if (backend != Backend::cuda) return;
  cuda::Memory& memory = cuda::memory(cuda::current_device());
  on_device_ = memory.allocator.allocate(bytes, stream_);
  memory.to_device(on_device_, p, bytes, stream_);
}

Placed::~Placed() {
  if (on_device_) cuda::memory(cuda::current_device()).allocator.deallocate(on_device_, stream_);
}

std::vector<double> Buffer::values() const {
  return visit(dtype_, [&](auto zero) {
    const auto* p = reinterpret_cast<const decltype(zero)*>(payload());
    std::vector<double> v(size());
    default_pool().parallel_range(int64_t(size()), 1 << 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        if constexpr (std::is_arithmetic_v<decltype(zero)>) v[size_t(i)] = double(p[i]);
        else v[size_t(i)] = double(float(p[i]));
    });
    return v;
  });
}

namespace {

// The buffers on the device, guard zones and poison with them.
class DeviceBuffers {
 public:
  DeviceBuffers(std::vector<Buffer>& host, void* stream) : host_(host), stream_(stream) {
    for (Buffer& b : host) {
      copies_.push_back(static_cast<std::byte*>(memory_.allocator.allocate(b.memory().size(), stream)));
      memory_.to_device(copies_.back(), b.memory().data(), b.memory().size(), stream);
    }
  }
  ~DeviceBuffers() {
    for (std::byte* p : copies_) memory_.allocator.deallocate(p, stream_);
  }
  DeviceBuffers(const DeviceBuffers&) = delete;
  std::vector<void*> pointers() const {
    std::vector<void*> p;
    for (size_t i = 0; i < copies_.size(); ++i) p.push_back(host_[i].data_in(copies_[i]));
    return p;
  }
  void fetch() {
    for (size_t i = 0; i < copies_.size(); ++i)
      memory_.to_host(host_[i].memory().data(), copies_[i], host_[i].memory().size(), stream_);
  }

 private:
  cuda::Memory& memory_ = cuda::memory(cuda::current_device());
  std::vector<Buffer>& host_;
  void* stream_;
  std::vector<std::byte*> copies_;
};

}  // namespace

std::vector<Buffer> run_case(const Case& c, Context& context, Backend backend, DType real, DType inputs, int shifted) {
  const std::vector<DType> dtypes = c.dtypes(real);
  check<InternalError>(dtypes.size() == c.args.size(), "cases: {} {}: the signature has {} buffers, the case {}", name(c.op),
                       c.name, dtypes.size(), c.args.size());
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < c.args.size(); ++i)
    buffers.emplace_back(c.args[i], dtypes[i], stream_key(i, c.name), inputs, int(i) == shifted);
  std::vector<void*> pointers;
  for (Buffer& b : buffers) pointers.push_back(b.data());
  std::vector<emu::Visible> visible;
  if (backend == Backend::emu)
    for (const Buffer& b : buffers) visible.emplace_back(b.payload(), b.payload_bytes());
  if (backend == Backend::cuda && has_kernel(c.op, c.pass, backend, real)) {
    DeviceBuffers device(buffers, context.stream());
    pointers = device.pointers();
    c.run(context, backend, real, pointers);
    device.fetch();
  } else c.run(context, backend, real, pointers);
  for (size_t i = 0; i < buffers.size(); ++i)
    check<Error>(buffers[i].guards_intact(), "{} {}: wrote outside of argument {}", name(c.op), c.name, i);
  return buffers;
}

}  // namespace graft::harness
