// c = op(a) op(b), or c += op(a) op(b), matrix by matrix, for every matrix of a batch; op is the transpose where asked for.
#pragma once
#include "kernels/common/context.h"

namespace graft {

enum class Write : uint8_t { overwrite, accumulate };

struct MatmulParams {
  int64_t batch, m, n, k;
  bool transpose_a = false;  // a is stored [k, m]
  bool transpose_b = false;  // b is stored [n, k]
  Write write = Write::overwrite;
};

// c[batch, m, n], a[batch, m, k] or [batch, k, m], b[batch, k, n] or [batch, n, k]; c overlaps neither. k = 0 adds zeros.
template <class T>
using MatmulForward = void(Context&, T* c, const T* a, const T* b, const MatmulParams&);

namespace cpu {
MatmulForward<float> matmul_forward;
}

}  // namespace graft
