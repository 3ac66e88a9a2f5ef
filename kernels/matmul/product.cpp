#include "kernels/matmul/product.h"

#include "kernels/common/error.h"

namespace graft {

int index_32(int64_t n) {
  check<ShapeError>(n >= 0 && n <= (int64_t{1} << 30), "matmul, conv2d: size of a product: expected at most 2^30, got {}", n);
  return int(n);
}

}  // namespace graft
