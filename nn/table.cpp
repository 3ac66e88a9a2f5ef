#include "nn/table.h"

#include <algorithm>
#include <array>

namespace graft::nn {
namespace {

Shape with_batch(const Shape& s) {
  std::vector<int64_t> dims{1};
  dims.insert(dims.end(), s.begin(), s.end());
  return Shape(std::span<const int64_t>(dims));
}

Shape without_batch(const Shape& s) { return Shape(std::span(s.begin() + 1, s.end())); }

std::string grouped(int64_t n) {  // 60,965,224
  std::string s = std::to_string(n);
  for (int64_t i = int64_t(s.size()) - 3; i > 0; i -= 3) s.insert(size_t(i), 1, ',');
  return s;
}

}  // namespace

std::string LayerRow::state() const {
  if (parameters == 0) return "-";
  return trainable == parameters ? "trainable" : trainable == 0 ? "frozen" : "partly frozen";
}

std::vector<LayerRow> layer_rows(const Chain& chain, const Shape& input) {
  std::vector<LayerRow> rows;
  Shape x = with_batch(input);
  for (int i = 0; i < chain.size(); ++i) {
    const Module& block = chain.block(i);
    LayerRow row{chain.name(i), {}, 0, 0, block.multiply_adds(x)};
    for (auto& [name, t] : block.named_parameters()) {
      row.parameters += t.numel();
      if (t.requires_grad()) row.trainable += t.numel();
    }
    x = block.output_shape(x);
    row.output = without_batch(x);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string layer_table(const Chain& chain, const Shape& input) {
  constexpr size_t kColumns = 5;
  using Line = std::array<std::string, kColumns>;
  std::vector<Line> lines{{"name", "output", "parameters", "multiply-adds", "state"}};
  LayerRow total{"total", {}, 0, 0, 0};
  for (const LayerRow& r : layer_rows(chain, input)) {
    lines.push_back({r.name, r.output.str(), grouped(r.parameters), grouped(r.multiply_adds), r.state()});
    total.parameters += r.parameters;
    total.trainable += r.trainable;
    total.multiply_adds += r.multiply_adds;
  }
  lines.push_back(
      {total.name, "", grouped(total.parameters), grouped(total.multiply_adds), grouped(total.trainable) + " trainable"});
  std::array<size_t, kColumns> width{};
  for (const Line& l : lines)
    for (size_t c = 0; c < kColumns; ++c) width[c] = std::max(width[c], l[c].size());
  std::string text;
  for (const Line& l : lines)
    text +=
        fmt::format("{:<{}}  {:<{}}  {:>{}}  {:>{}}  {}\n", l[0], width[0], l[1], width[1], l[2], width[2], l[3], width[3], l[4]);
  return text;
}

}  // namespace graft::nn
