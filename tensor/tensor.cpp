#include "tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/common/half.h"
#include "kernels/runtime/cpu/memory.h"
#include "kernels/runtime/cuda/memory.h"
#include "tensor/autograd.h"

namespace graft {

Shape::Shape(std::span<const int64_t> dims) : rank_(int(dims.size())) {
  check<ShapeError>(dims.size() <= kMaxRank, "shape: expected at most {} dimensions, got {}", kMaxRank, dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
  int64_t n = 1;
  for (int64_t d : dims)
    check<ShapeError>(d >= 0 && !__builtin_mul_overflow(n, d, &n), "shape: {} is not a size or too large", str());
}

int64_t Shape::product(int first, int last) const {
  int64_t n = 1;
  for (int i = first; i < last; ++i) n *= dims_[size_t(i)];
  return n;
}

std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += fmt::format("{}{}", i ? ", " : "", dims_[size_t(i)]);
  return s + "]";
}

namespace {

thread_local Context* scoped_context = nullptr;

// Calls f with a value of the C++ type of dtype; f16 and bf16 come as their bit patterns in tag types.
template <class F>
decltype(auto) visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat16{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::u8: return f(uint8_t{});
  }
  throw InternalError("dtype: unknown");
}

template <class To, class From>
void convert(To* to, const From* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>) to[i] = To(from[i]);
    else to[i] = To(float(from[i]));
  }
}

void convert(void* to, DType to_type, const void* from, DType from_type, int64_t n) {
  visit_dtype(to_type, [&](auto a) {
    visit_dtype(from_type, [&](auto b) { convert(static_cast<decltype(a)*>(to), static_cast<const decltype(b)*>(from), n); });
  });
}

// The context of this thread, while there is one: tensors with static lifetime are freed when it is gone.
thread_local Context* default_context = nullptr;

Context& make_default_context() {
  struct Owner {
    Context context{default_pool()};
    Owner() { default_context = &context; }
    ~Owner() { default_context = nullptr; }
  };
  thread_local Owner owner;
  return owner.context;
}

cuda::Memory& memory_of(Device d) { return cuda::memory(d.index); }
void* stream_now() { return current_context().stream(); }

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t n) {
  if (n == 0) return;
  if (to_device.on_host() && from_device.on_host()) std::memcpy(to, from, n);
  else if (from_device.on_host()) memory_of(to_device).to_device(to, from, n, stream_now());
  else if (to_device.on_host()) memory_of(from_device).to_host(to, from, n, stream_now());
  else if (to_device == from_device) memory_of(to_device).copy(to, from, n, stream_now());
  else {
    std::vector<std::byte> between(n);
    copy_bytes(between.data(), {}, from, from_device, n);
    copy_bytes(to, to_device, between.data(), {}, n);
  }
}

}  // namespace

Context& current_context() {
  if (scoped_context) return *scoped_context;
  return default_context ? *default_context : make_default_context();
}

ContextScope::ContextScope(Context& context) : previous_(std::exchange(scoped_context, &context)) {}
ContextScope::~ContextScope() { scoped_context = previous_; }

std::string name(Device d) { return d.index ? fmt::format("{}:{}", name(d.backend), d.index) : std::string(name(d.backend)); }
void activate(Device d) {
  if (!d.on_host()) cuda::use_device(d.index);
}

Storage::Storage(size_t n, Device d) : bytes(n), device(d), stream(d.on_host() ? nullptr : stream_now()) {
  data = d.on_host() ? cpu::allocate(n) : memory_of(d).allocator.allocate(n, stream);
}
Storage::~Storage() {
  const Context* context = scoped_context ? scoped_context : default_context;
  if (device.on_host()) cpu::deallocate(data, bytes);
  else memory_of(device).allocator.deallocate(data, context ? context->stream() : stream);
}

struct Tensor::Impl {
  Shape shape;
  DType dtype;
  std::shared_ptr<Storage> storage;
  size_t offset = 0;  // bytes
  bool requires_grad = false;
  Tensor grad;
  std::shared_ptr<Node> node;
};

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  Tensor t;
  t.impl_ = std::make_shared<Impl>();
  t.impl_->shape = shape;
  t.impl_->dtype = dtype;
  t.impl_->storage = std::make_shared<Storage>(size_t(shape.numel()) * dtype_size(dtype), device);
  return t;
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill(value);
  return t;
}

Tensor Tensor::from_bytes(const void* p, int64_t n, Shape shape, DType dtype, Device device) {
  check<ShapeError>(n == shape.numel(), "tensor: shape {} needs {} values, got {}", shape, shape.numel(), n);
  Tensor t = empty(shape, dtype, device);
  copy_bytes(t.device_raw(), device, p, {}, t.bytes());
  return t;
}

const Shape& Tensor::shape() const {
  check<Error>(defined(), "tensor: undefined");
  return impl_->shape;
}
DType Tensor::dtype() const {
  check<Error>(defined(), "tensor: undefined");
  return impl_->dtype;
}
Device Tensor::device() const {
  check<Error>(defined(), "tensor: undefined");
  return impl_->storage->device;
}
void* Tensor::device_raw() const {
  check<Error>(defined(), "tensor: undefined");
  return static_cast<std::byte*>(impl_->storage->data) + impl_->offset;
}
void* Tensor::checked(DType want) const {
  check<DtypeError>(dtype() == want, "tensor: expected {}, got {}", name(want), name(dtype()));
  return device_raw();
}
void* Tensor::on_host(void* p) const {
  check<DeviceError>(device().on_host(), "tensor: {}{} is on {}, where the host cannot follow a pointer (take host())",
                     name(dtype()), shape(), name(device()));
  return p;
}
void Tensor::bump_version() const { ++impl_->storage->version; }
uint64_t Tensor::version() const { return impl_->storage->version; }

template <class T>
std::vector<T> Tensor::to_vector() const {
  std::vector<T> v(static_cast<size_t>(numel()));
  if (!v.empty()) convert(v.data(), dtype_of<T>, host().raw(), dtype(), numel());
  return v;
}
template std::vector<float> Tensor::to_vector<float>() const;
template std::vector<double> Tensor::to_vector<double>() const;
template std::vector<int64_t> Tensor::to_vector<int64_t>() const;

double Tensor::item() const {
  check<ShapeError>(numel() == 1, "item: expected one element, got {}", shape());
  return to_vector<double>()[0];
}

Tensor Tensor::clone() const {
  Tensor t = empty_like(*this);
  copy_bytes(t.device_raw(), device(), device_raw(), device(), bytes());
  return t;
}

Tensor Tensor::detach() const { return view(shape()); }

Tensor Tensor::to(DType want) const {
  if (dtype() == want) return *this;
  if (!device().on_host()) return host().to(want).to(device());
  Tensor t = empty(shape(), want, device());
  convert(t.raw(), want, raw(), dtype(), numel());
  return t;
}

Tensor Tensor::to(Device want) const {
  if (device() == want) return *this;
  Tensor t = empty(shape(), dtype(), want);
  copy_bytes(t.device_raw(), want, device_raw(), device(), bytes());
  return t;
}

Tensor Tensor::host() const { return device().on_host() ? *this : to(Device{}); }

void Tensor::copy_from(const Tensor& o) const {
  check<ShapeError>(shape() == o.shape(), "copy: expected {}, got {}", shape(), o.shape());
  if (dtype() == o.dtype()) copy_bytes(device_raw(), device(), o.device_raw(), o.device(), bytes());
  else if (device().on_host()) convert(raw(), dtype(), o.host().raw(), o.dtype(), numel());
  else copy_bytes(device_raw(), device(), o.host().to(dtype()).raw(), {}, bytes());
  bump_version();
}

void Tensor::fill(double value) const {
  visit_dtype(dtype(), [&](auto a) {
    using T = decltype(a);
    T v;
    if constexpr (std::is_arithmetic_v<T>) v = T(value);
    else v = T(float(value));
    if (device().on_host()) std::fill_n(static_cast<T*>(raw()), numel(), v);
    else memory_of(device()).fill(device_raw(), &v, sizeof v, numel(), stream_now());
  });
  bump_version();
}

Tensor Tensor::view(Shape s) const {
  check<ShapeError>(s.numel() == numel(), "view: {} has {} elements, {} has {}", shape(), numel(), s, s.numel());
  Tensor t;
  t.impl_ = std::make_shared<Impl>();
  t.impl_->shape = s;
  t.impl_->dtype = impl_->dtype;
  t.impl_->storage = impl_->storage;
  t.impl_->offset = impl_->offset;
  return t;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  check<ShapeError>(rank() >= 1 && 0 <= begin && begin <= end && end <= size(0), "rows: [{}, {}) of {}", begin, end, shape());
  Shape s = shape();
  const int64_t row = s.product(1, s.rank());
  s.set(0, end - begin);
  Tensor t;
  t.impl_ = std::make_shared<Impl>();
  t.impl_->shape = s;
  t.impl_->dtype = impl_->dtype;
  t.impl_->storage = impl_->storage;
  t.impl_->offset = impl_->offset + size_t(begin * row) * dtype_size(dtype());
  return t;
}

bool Tensor::requires_grad() const { return defined() && (impl_->requires_grad || impl_->node); }

const Tensor& Tensor::set_requires_grad(bool on) const {
  check<Error>(is_leaf(), "requires_grad: only a leaf can be switched; this tensor is the result of an op");
  check<DtypeError>(!on || dtype() <= DType::bf16, "requires_grad: expected a float type, got {}", name(dtype()));
  impl_->requires_grad = on;
  return *this;
}

bool Tensor::is_leaf() const { return defined() && !impl_->node; }
Tensor Tensor::grad() const { return defined() ? impl_->grad : Tensor{}; }

void Tensor::set_grad(Tensor g) const {
  if (g)
    check<ShapeError>(g.shape() == shape() && g.dtype() == dtype() && g.device() == device(), "grad: expected {}{}, got {}{}",
                      name(dtype()), shape(), name(g.dtype()), g.shape());
  impl_->grad = std::move(g);
}

const std::shared_ptr<Node>& Tensor::node() const { return impl_->node; }
void Tensor::set_node(std::shared_ptr<Node> n) const { impl_->node = std::move(n); }

std::string Tensor::str() const {
  if (!defined()) return "undefined";
  std::string s = fmt::format("{}{} on {}", name(dtype()), shape(), name(device()));
  if (numel() > 16) return s;
  for (const char* sep = ": "; double v : to_vector<double>()) s += fmt::format("{}{:g}", std::exchange(sep, ", "), v);
  return s;
}

}  // namespace graft
