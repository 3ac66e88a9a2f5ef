#include "tests/harness/verify.h"

namespace graft::harness {

Precision precision_of(const Case& c, DType real) {
  Precision p;
  if (real != DType::bf16) return p;
  p.stored = 0x1p-8;                                // half a unit of 8 significant bits
  if (c.cost.rounds_inside) p.inside = 8 * 0x1p-8;  // their sums stay near the rms of the output
  return p;
}

std::vector<std::vector<double>> output_values(const Case& c, std::span<const Buffer> buffers) {
  std::vector<std::vector<double>> values(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i)
    if (is_output(c.args[i])) values[i] = buffers[i].values();
  return values;
}

Comparison compare_outputs(const Case& c, const std::vector<std::vector<double>>& actual,
                           const std::vector<std::vector<double>>& expected, Precision precision) {
  for (size_t i = 0; i < c.args.size(); ++i) {
    if (!is_output(c.args[i])) continue;
    Tolerance t = rounding(precision.products, c.cost.reduction, expected[i]);
    t.scale = std::max(t.scale, c.cost.scale);
    t.stored = precision.stored;
    t.relative += precision.inside;
    Comparison r = compare<double>(actual[i], expected[i], t);
    if (!r.ok) return {false, fmt::format("argument {}: {}", i, r.report)};
  }
  return {};
}

}  // namespace graft::harness
