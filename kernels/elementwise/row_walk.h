// Walks the rows of a four-dimensional array (every setting of its first three axes) in order, and with them the places
// of the rows in two arrays that have strides of their own.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace graft {

struct RowWalk {
  using Axes = std::array<int64_t, 4>;  // the last one is not walked

  RowWalk(const Axes& dims_, const Axes& a_strides_, const Axes& b_strides_, int64_t row)
      : dims(dims_), a_strides(a_strides_), b_strides(b_strides_) {
    for (int d = 2; d >= 0; --d) {
      i[size_t(d)] = row % dims[size_t(d)];
      row /= dims[size_t(d)];
      a += i[size_t(d)] * a_strides[size_t(d)];
      b += i[size_t(d)] * b_strides[size_t(d)];
    }
  }

  void next() {
    for (int d = 2; d >= 0; --d) {
      a += a_strides[size_t(d)];
      b += b_strides[size_t(d)];
      if (++i[size_t(d)] < dims[size_t(d)]) return;
      a -= dims[size_t(d)] * a_strides[size_t(d)];
      b -= dims[size_t(d)] * b_strides[size_t(d)];
      i[size_t(d)] = 0;
    }
  }

  Axes dims, a_strides, b_strides, i{};
  int64_t a = 0, b = 0;  // offsets of the row
};

}  // namespace graft
