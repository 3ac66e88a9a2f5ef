// y = a + b, a - b or a b, elementwise with broadcasting.
// Shapes come here collapsed: four dimensions, the last one innermost, unused ones of size 1 in front. y is contiguous;
// a stride of a or b is 0 where that operand is repeated (and for dimensions of size 1 either way).
#pragma once
#include <array>

#include "kernels/common/context.h"

namespace graft {

enum class Binary : uint8_t { add, sub, mul };

struct BinaryParams {
  Binary kind;
  std::array<int64_t, 4> dims{1, 1, 1, 1};          // of y
  std::array<int64_t, 4> a_strides{}, b_strides{};  // in elements; innermost 0 or 1
};

// y: dims; a, b: the elements that their strides reach. y may be an operand that is not repeated.
template <class T>
using BinaryForward = void(Context&, T* y, const T* a, const T* b, const BinaryParams&);
// add: da = dy, db = dy; sub: da = dy, db = -dy; mul: da = dy b, db = dy a; each summed over the repetitions of its
// operand. da or db is null where it is not wanted; a and b are read by mul alone.
template <class T>
using BinaryBackward = void(Context&, T* da, T* db, const T* dy, const T* a, const T* b, const BinaryParams&);

namespace cpu {
BinaryForward<float> binary_forward;
BinaryBackward<float> binary_backward;
}  // namespace cpu

}  // namespace graft
