// y = x rounded to a shorter type (to nearest even), and back: between the type T in which activations are stored and the
// type Accumulate<T> in which they are added up. bf16 keeps the exponent of f32, so only digits are lost, 8 of 24 bits stay.
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct CastParams {
  int64_t n;
};

// y[n] = x[n], rounded.
template <class T>
using CastForward = void(Context&, T* y, const Accumulate<T>* x, const CastParams&);
// dx[n] = dy[n], exactly: the way back, and the gradient of the way there.
template <class T>
using CastBackward = void(Context&, Accumulate<T>* dx, const T* dy, const CastParams&);

}  // namespace graft
