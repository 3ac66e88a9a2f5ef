#include "tensor/dispatch.h"

namespace graft {

namespace {

void check_all(const char* op, const Tensor& x, DType dtype, std::initializer_list<std::pair<const char*, const Tensor*>> others) {
  for (auto [what, t] : others) {
    if (!*t) continue;
    check<DtypeError>(t->dtype() == dtype, "{}: {}: expected {}, got {}", op, what, name(dtype), name(t->dtype()));
    check<DeviceError>(t->device() == x.device(), "{}: {}: expected on {}, got on {}", op, what, name(x.device().backend),
                       name(t->device().backend));
  }
}

}  // namespace

void check_same(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others) {
  check_all(op, x, x.dtype(), others);
}
void check_accumulated(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others) {
  check_all(op, x, accumulated(x), others);
}

}  // namespace graft
