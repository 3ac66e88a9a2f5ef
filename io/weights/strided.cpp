#include "io/weights/strided.h"

#include <array>

namespace graft::io {

void copy_strided(const Tensor& out, const std::byte* source, std::span<const int64_t> strides) {
  const Shape& shape = out.shape();
  const int64_t n = out.numel();
  const int rank = shape.rank();
  const size_t item = dtype_size(out.dtype());
  if (n == 0) return;
  // Trailing dimensions that are dense in the source are copied in one piece.
  int64_t run = 1;
  int outer = rank;
  while (outer > 0 && (shape[outer - 1] == 1 || strides[size_t(outer - 1)] == run)) run *= shape[--outer];
  std::array<int64_t, Shape::kMaxRank> index{};
  std::byte* to = out.raw_bytes();
  for (int64_t done = 0; done < n; done += run, to += size_t(run) * item) {
    int64_t at = 0;
    for (int d = 0; d < outer; ++d) at += index[size_t(d)] * strides[size_t(d)];
    std::memcpy(to, source + size_t(at) * item, size_t(run) * item);
    for (int d = outer - 1; d >= 0 && ++index[size_t(d)] == shape[d]; --d) index[size_t(d)] = 0;
  }
}

}  // namespace graft::io
