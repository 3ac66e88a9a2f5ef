#pragma once
#include "kernels/elementwise/binary.h"

namespace graft::ref {

// f(place in y, place in a, place in b) for every element of y in order.
template <class F>
void for_each_element(const BinaryParams& p, F f) {
  int64_t i = 0;
  for (int64_t i0 = 0; i0 < p.dims[0]; ++i0)
    for (int64_t i1 = 0; i1 < p.dims[1]; ++i1)
      for (int64_t i2 = 0; i2 < p.dims[2]; ++i2)
        for (int64_t i3 = 0; i3 < p.dims[3]; ++i3) {
          const auto place = [&](auto& s) { return i0 * s[0] + i1 * s[1] + i2 * s[2] + i3 * s[3]; };
          f(i++, place(p.a_strides), place(p.b_strides));
        }
}

template <class T>
void binary_forward(Context&, T* y, const T* a, const T* b, const BinaryParams& p) {
  for_each_element(p, [&](int64_t i, int64_t ia, int64_t ib) {
    switch (p.kind) {
      case Binary::add: y[i] = a[ia] + b[ib]; break;
      case Binary::sub: y[i] = a[ia] - b[ib]; break;
      case Binary::mul: y[i] = a[ia] * b[ib]; break;
    }
  });
}

template <class T>
void binary_backward(Context&, T* da, T* db, const T* dy, const T* a, const T* b, const BinaryParams& p) {
  const auto clear = [&](T* d, const std::array<int64_t, 4>& strides) {
    int64_t n = 1;
    for (size_t k = 0; k < 4; ++k) n *= strides[k] ? p.dims[k] : 1;
    for (int64_t i = 0; d && i < n; ++i) d[i] = T(0);
  };
  clear(da, p.a_strides);
  clear(db, p.b_strides);
  for_each_element(p, [&](int64_t i, int64_t ia, int64_t ib) {
    switch (p.kind) {
      case Binary::add:
        if (da) da[ia] += dy[i];
        if (db) db[ib] += dy[i];
        break;
      case Binary::sub:
        if (da) da[ia] += dy[i];
        if (db) db[ib] -= dy[i];
        break;
      case Binary::mul:
        if (da) da[ia] += dy[i] * b[ib];
        if (db) db[ib] += dy[i] * a[ia];
        break;
    }
  });
}

}  // namespace graft::ref
