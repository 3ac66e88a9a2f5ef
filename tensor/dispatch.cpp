#include "tensor/dispatch.h"

namespace graft {

void check_same(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others) {
  for (auto [what, t] : others) {
    if (!*t) continue;
    check<DtypeError>(t->dtype() == x.dtype(), "{}: {}: expected {}, got {}", op, what, name(x.dtype()), name(t->dtype()));
    check<DeviceError>(t->device() == x.device(), "{}: {}: expected on {}, got on {}", op, what, name(x.device().backend),
                       name(t->device().backend));
  }
}

}  // namespace graft
