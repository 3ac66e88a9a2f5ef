// Tensor: a contiguous row-major array on a device, with a gradient if asked for. Copies of a Tensor share its data.
#pragma once
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/dtype.h"
#include "tensor/shape.h"

namespace graft {

struct Device {
  Backend backend = Backend::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
  bool on_host() const { return backend != Backend::cuda; }
};
std::string name(Device);  // "cpu", "emu", "cuda", "cuda:1"
void activate(Device);     // what this thread launches from here on goes there; DeviceError when there is no such device

// The threads and scratch that ops of this thread use. Default: the process-wide pool.
Context& current_context();
class ContextScope {
 public:
  explicit ContextScope(Context& context);
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;

 private:
  Context* previous_;
};

struct Storage {
  Storage(size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  void* data;
  size_t bytes;
  Device device;
  void* stream;          // on cuda: the one that it was allocated on
  uint64_t version = 0;  // grows with every in-place change; the tape refuses to use a changed input
};

struct Node;  // one recorded op (tensor/autograd.h)

class Tensor {
 public:
  Tensor() = default;  // undefined: an optional argument that is absent

  static Tensor empty(Shape, DType = DType::f32, Device = {});
  static Tensor full(Shape, double value, DType = DType::f32, Device = {});
  static Tensor zeros(Shape shape, DType dtype = DType::f32, Device device = {}) { return full(shape, 0, dtype, device); }
  static Tensor empty_like(const Tensor& t) { return empty(t.shape(), t.dtype(), t.device()); }
  static Tensor zeros_like(const Tensor& t) { return zeros(t.shape(), t.dtype(), t.device()); }
  // Copies host values; the number must match the shape (ShapeError).
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape, Device device = {}) {
    return from_bytes(values.data(), int64_t(values.size()), shape, dtype_of<T>, device);
  }
  template <class T>
  static Tensor from(std::initializer_list<T> v, Shape shape, Device device = {}) {
    return from(std::span<const T>(v.begin(), v.size()), shape, device);
  }

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const;
  int64_t size(int axis) const { return shape()[axis]; }
  int rank() const { return shape().rank(); }
  int64_t numel() const { return shape().numel(); }
  DType dtype() const;
  Device device() const;
  size_t bytes() const { return size_t(numel()) * dtype_size(dtype()); }

  // First element, for code of the host; throws DtypeError when T is not the element type, DeviceError when the host cannot
  // reach it (on cuda: take host()). Writing through it is not recorded: whoever changes a tensor that a graph may hold
  // calls bump_version().
  template <class T>
  T* data() const {
    return static_cast<T*>(on_host(checked(dtype_of<T>)));
  }
  void* raw() const { return on_host(device_raw()); }
  std::byte* raw_bytes() const { return static_cast<std::byte*>(raw()); }
  // The same address for a kernel of the tensor's device, or as its identity: the host may not follow it.
  template <class T>
  T* device_data() const {
    return static_cast<T*>(checked(dtype_of<T>));
  }
  void* device_raw() const;
  template <class T>
  std::span<T> span() const {
    return {data<T>(), size_t(numel())};
  }
  template <class T>
  std::vector<T> to_vector() const;  // host copy, converted to T
  double item() const;               // the value of a one-element tensor
  void bump_version() const;
  uint64_t version() const;

  Tensor clone() const;                 // own storage, no graph
  Tensor detach() const;                // same storage, no graph, no gradient
  Tensor to(DType) const;               // converted copy, no graph; itself if nothing changes
  Tensor to(Device) const;              // moved copy, no graph; itself if nothing changes
  Tensor host() const;                  // itself where the host can read it, else a copy there
  void copy_from(const Tensor&) const;  // same shape; converts dtype; bumps the version
  void fill(double value) const;        // bumps the version
  // Views without a graph (differentiable: tensor/ops/view.h).
  Tensor view(Shape) const;                       // same number of elements
  Tensor rows(int64_t begin, int64_t end) const;  // slice of the leading dimension

  // Autograd.
  bool requires_grad() const;                   // takes part in a graph
  const Tensor& set_requires_grad(bool) const;  // leaves only; float types only
  bool is_leaf() const;
  Tensor grad() const;          // undefined when none has arrived
  void set_grad(Tensor) const;  // checks shape, dtype and device
  void zero_grad() const { set_grad({}); }
  void backward() const;  // of a one-element loss
  void backward(const Tensor& dy) const;
  const std::shared_ptr<Node>& node() const;
  void set_node(std::shared_ptr<Node>) const;
  bool same_as(const Tensor& o) const { return impl_ == o.impl_; }

  std::string str() const;  // "f32[2, 3] on cpu" and, if small, the values

 private:
  struct Impl;
  static Tensor from_bytes(const void*, int64_t n, Shape, DType, Device);
  void* checked(DType) const;
  void* on_host(void* p) const;  // p, or DeviceError
  std::shared_ptr<Impl> impl_;
};

extern template std::vector<float> Tensor::to_vector<float>() const;
extern template std::vector<double> Tensor::to_vector<double>() const;
extern template std::vector<int64_t> Tensor::to_vector<int64_t>() const;

}  // namespace graft
