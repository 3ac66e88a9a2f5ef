#include "tests/harness/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/common/philox.h"
#include "tensor/autograd.h"

namespace graft::harness {
namespace {

constexpr Device kRef{Backend::ref};

double weighted_sum(const Tensor& y, const Philox& weights) {
  double sum = 0;
  const auto v = y.to_vector<double>();
  for (size_t i = 0; i < v.size(); ++i) sum += v[i] * weights.normal(i);
  return sum;
}

}  // namespace

std::string gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f, std::vector<Tensor> inputs, GradcheckOptions o) {
  const Philox weights{stream_key(7, "gradcheck"), 0};
  for (const Tensor& x : inputs)
    if (x) x.zero_grad();
  const Tensor y = f(inputs);
  const Tensor dy = Tensor::empty_like(y);
  for (int64_t i = 0; i < y.numel(); ++i) dy.data<double>()[i] = weights.normal(uint64_t(i));
  y.backward(dy);

  NoGrad guard;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const Tensor& x = inputs[k];
    if (!x.requires_grad()) continue;
    if (!x.grad()) return fmt::format("input {} got no gradient", k);
    const auto analytic = x.grad().to_vector<double>();
    double largest = 1;
    for (double g : analytic) largest = std::max(largest, std::abs(g));
    const int64_t n = x.numel(), stride = std::max<int64_t>(1, n / o.max_elements);
    for (int64_t i = 0; i < n; i += stride) {
      double* p = x.data<double>() + i;
      const double saved = *p, h = o.step;
      const auto at = [&](double delta) {
        *p = saved + delta;
        return weighted_sum(f(inputs), weights);
      };
      const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      *p = saved;
      const double a = analytic[size_t(i)];
      if (!(std::abs(a - numeric) <= o.tolerance * largest))
        return fmt::format("input {} element {}: backward says {:.10g}, differences say {:.10g}", k, i, a, numeric);
    }
  }
  return {};
}

Tensor random_input(Shape shape, uint64_t key) {
  const Tensor t = Tensor::empty(shape, DType::f64, kRef);
  const Philox random{key, 1};
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = random.normal(uint64_t(i));
  return t.set_requires_grad(true);
}

Tensor distinct_input(Shape shape, uint64_t key) {
  const Tensor t = Tensor::empty(shape, DType::f64, kRef);
  const int64_t n = t.numel();
  int64_t step = n / 2 + 1 + int64_t(key % 5);
  while (std::gcd(step, n) != 1) ++step;
  for (int64_t i = 0; i < n; ++i) t.data<double>()[i] = 4 * (double((i * step) % n) + 0.25) / double(n) - 2;
  return t.set_requires_grad(true);
}

}  // namespace graft::harness
