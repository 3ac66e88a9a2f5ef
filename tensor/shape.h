// Sizes of a tensor, row-major, at most six dimensions.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/common/error.h"

namespace graft {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[size_t(axis < 0 ? axis + rank_ : axis)]; }  // -1 is the last
  void set(int axis, int64_t n) { dims_[size_t(axis < 0 ? axis + rank_ : axis)] = n; }
  int64_t numel() const { return product(0, rank_); }
  int64_t product(int first, int last) const;  // of dims [first, last)
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::string str() const;  // "[2, 3]"
  bool operator==(const Shape& o) const { return rank_ == o.rank_ && std::equal(begin(), end(), o.begin()); }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace graft

template <>
struct fmt::formatter<graft::Shape> {
  constexpr auto parse(fmt::format_parse_context& c) { return c.begin(); }
  template <class C>
  auto format(const graft::Shape& s, C& c) const {
    const std::string text = s.str();
    return std::copy(text.begin(), text.end(), c.out());
  }
};
