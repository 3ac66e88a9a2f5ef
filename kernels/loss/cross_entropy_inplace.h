// Cross-entropy whose forward pass writes the gradient of the logits over the logits: one read and one write of them in all, where
// forward and backward apart read twice and write once.
//   loss = as cross_entropy;   x_nc becomes (softmax(x_n)_c - q_nc) / N
// The backward pass multiplies that by dloss, and touches nothing where dloss is 1 (the loss itself was differentiated).
#pragma once
#include "kernels/loss/loss.h"

namespace graft {

// loss[1], x[N, C + padding]
template <class T>
using CrossEntropyInplaceForward = void(Context&, Accumulate<T>* loss, T* x, const int64_t* labels, const CrossEntropyParams&);
// dx[N, C + padding], dloss[1]
template <class T>
using CrossEntropyInplaceBackward = void(Context&, T* dx, const Accumulate<T>* dloss, const CrossEntropyParams&);

namespace cpu {
CrossEntropyInplaceForward<float> cross_entropy_inplace_forward;
CrossEntropyInplaceBackward<float> cross_entropy_inplace_backward;
}  // namespace cpu

}  // namespace graft
