#include "tests/harness/verify.h"

namespace graft::harness {

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
    if (types[i] == DType::bf16) t.stored = 0x1p-8;                             // half a unit of 8 significant bits
    if (real == DType::bf16 && c.cost.rounds_inside) t.relative += 8 * 0x1p-8;  // of either sign: sums stay near the rms
    Comparison r = compare<double>(actual[i], expected[i], t);
    if (!r.ok) return {false, fmt::format("argument {}: {}", i, r.report)};
  }
  return {};
}

}  // namespace graft::harness
