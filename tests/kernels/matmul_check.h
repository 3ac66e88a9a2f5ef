// A version of matmul on emu: exact where the arithmetic is exact, within the derived bound elsewhere.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "kernels/common/versions.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matmul.h"
#include "kernels/runtime/emu/emu.h"

namespace graft {

enum class Inputs { integers, normal };  // integers of -4 to 4: every product and sum is exact in bf16, tf32 and fp32

template <class T>
std::vector<T> values(size_t n, uint64_t key, Inputs inputs) {
  const Philox random{key, 0};
  std::vector<T> v;
  for (size_t i = 0; i < n; ++i)
    v.push_back(T(inputs == Inputs::integers ? float(int(random.below(i, 9)) - 4) : float(random.normal(i))));
  return v;
}

template <template <class> class Signature, class T, class... A>
void call(Op op, Pass pass, int version, uint64_t seed, A... args) {
  Context context(1);
  context.set_version(op, version);
  emu::options().seed = seed;
  reinterpret_cast<Signature<T>*>(find_kernel(op, pass, Backend::emu, dtype_of<T>, typeid(Signature<T>)))(context, args...);
  emu::options().seed = 0;
}

template <class T>
void check_matmul(const MatmulParams& p, Inputs inputs, int version = 6) {
  INFO(name(dtype_of<T>), " batch=", p.batch, " m=", p.m, " n=", p.n, " k=", p.k, " ", p.transpose_a, p.transpose_b, " version ",
       version);
  const auto a = values<T>(size_t(p.batch * p.m * p.k), 1, inputs), b = values<T>(size_t(p.batch * p.k * p.n), 2, inputs);
  auto c = values<T>(size_t(p.batch * p.m * p.n), 3, inputs);
  const auto before = c;
  const emu::Visible va(a.data(), a.size() * sizeof(T)), vb(b.data(), b.size() * sizeof(T)), vc(c.data(), c.size() * sizeof(T));
  try {
    call<MatmulForward, T>(Op::matmul, Pass::forward, version, inputs == Inputs::normal, c.data(), a.data(), b.data(), p);
  } catch (const Error& e) {
    FAIL_CHECK(std::string(e.what()));
    return;
  }
  const double u = std::is_same_v<T, float> ? (version == 7 ? 0x1p-10 : 0x1p-11) : 0,  // version 7 cuts
      store = std::is_same_v<T, float> ? 0 : 0x1p-8;
  int wrong = 0;
  for (int64_t s = 0; s < p.batch; ++s)
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.n; ++j) {
        const size_t at = size_t((s * p.m + i) * p.n + j);
        double sum = 0, size = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          const double product = double(float(a[size_t(s * p.m * p.k + (p.transpose_a ? k * p.m + i : i * p.k + k))])) *
                                 float(b[size_t(s * p.k * p.n + (p.transpose_b ? j * p.k + k : k * p.n + j))]);
          sum += product, size += std::abs(product);
        }
        if (p.write == Write::accumulate) sum += float(before[at]), size += std::abs(float(before[at]));
        const double actual = float(c[at]);
        if (inputs == Inputs::integers) wrong += actual != double(float(T(float(sum))));
        else
          wrong +=
              !(std::abs(actual - sum) <= (2 * u + u * u + double(p.k + 4) * 0x1p-23) * size * (1 + store) + store * std::abs(sum));
      }
  CHECK(wrong == 0);
}

}  // namespace graft
