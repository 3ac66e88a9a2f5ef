#include "tests/harness/verify.h"

#include <atomic>

namespace graft::harness {
namespace {

// By all threads: outputs of a benchmark have millions of values. What fails is reported by one.
Comparison compare_all(std::span<const double> actual, std::span<const double> expected, const Tolerance& t) {
  std::atomic<bool> ok = actual.size() == expected.size();
  const size_t line = std::max<size_t>(t.line, 1);
  if (ok)
    default_pool().parallel_range(
        int64_t((actual.size() + line - 1) / line), int64_t((1 << 16) / line + 1), [&](int64_t begin, int64_t end) {
          const auto part = [&](std::span<const double> s) {
            return s.subspan(size_t(begin) * line, std::min(size_t(end - begin) * line, s.size() - size_t(begin) * line));
          };
          if (!compare<double>(part(actual), part(expected), t).ok) ok = false;
        });
  return ok ? Comparison{} : compare<double>(actual, expected, t);
}

}  // namespace

std::vector<std::vector<double>> output_values(const Case& c, std::span<const Buffer> buffers) {
  std::vector<std::vector<double>> values(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i)
    if (is_output(c.args[i])) values[i] = buffers[i].values();
  return values;
}

Comparison compare_outputs(const Case& c, const std::vector<std::vector<double>>& actual,
                           const std::vector<std::vector<double>>& expected, DType real, double products) {
  const std::vector<DType> types = c.dtypes(real);
  for (size_t i = 0; i < c.args.size(); ++i) {
    if (!is_output(c.args[i])) continue;
    Tolerance t = rounding(products, c.cost.reduction, expected[i]);
    t.scale = std::max(t.scale, c.cost.scale);
    if (types[i] == DType::bf16) t.stored = 0x1p-8;  // half a unit of 8 significant bits
    if (real == DType::bf16 && c.cost.rounds_inside) {
      t.relative += 8 * 0x1p-8;  // of either sign: sums stay near the rms
      t.line = size_t(c.cost.line);
    }
    const Comparison r = compare_all(actual[i], expected[i], t);
    if (!r.ok) return {false, fmt::format("argument {}: {}", i, r.report)};
  }
  return {};
}

}  // namespace graft::harness
