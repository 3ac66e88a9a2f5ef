#include "io/weights/inspect.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/json.h"

namespace graft::io {

bool is_parameter(std::string_view name, DType dtype) {
  if (dtype > DType::bf16 || name.starts_with("optimizer.")) return false;
  const std::string_view last = name.substr(name.rfind('.') + 1);  // npos + 1 is 0
  return last != "running_mean" && last != "running_var";
}

TensorRow describe(const std::string& name, const Tensor& t) {
  TensorRow row{name, t.shape(), t.dtype(), is_parameter(name, t.dtype()), 0, 0, 0, 0};
  const std::vector<double> values = t.to_vector<double>();
  row.min = std::numeric_limits<double>::infinity(), row.max = -row.min;
  int64_t n = 0;
  double sum = 0, squares = 0;
  for (double v : values) {
    if (std::isnan(v)) ++row.nan;
    else if (std::isinf(v)) ++row.inf;
    else {
      row.min = std::min(row.min, v), row.max = std::max(row.max, v);
      sum += v, ++n;
    }
  }
  row.mean = sum / double(n);  // 0 / 0 where nothing is finite
  for (double v : values)
    if (std::isfinite(v)) squares += (v - row.mean) * (v - row.mean);
  row.std = std::sqrt(squares / double(n));
  if (n == 0) row.min = row.max = row.mean;
  return row;
}

Inspection inspect(const std::filesystem::path& path) {
  WeightFile file = load_weight_file(path);
  Inspection all{path.string(), file.format, {}, std::move(file.metadata)};
  for (const auto& [name, t] : file.tensors) {
    const TensorRow& row = all.rows.emplace_back(describe(name, t));
    (row.parameter ? all.parameters : all.buffers) += t.numel();
    all.bytes += int64_t(t.bytes());
    all.nan += row.nan;
    all.inf += row.inf;
  }
  return all;
}

std::string to_text(const Inspection& all) {
  size_t name_width = 4, shape_width = 5;
  for (const TensorRow& r : all.rows) {
    name_width = std::max(name_width, r.name.size());
    shape_width = std::max(shape_width, r.shape.str().size());
  }
  std::string s = fmt::format("{}: {}, {} tensors, {} parameters, {} in buffers, {} bytes\n", all.path, name(all.format),
                              all.rows.size(), all.parameters, all.buffers, all.bytes);
  for (const auto& [key, value] : all.metadata) s += fmt::format("  {}: {}\n", key, value);
  s += fmt::format("{:<{}}  {:<{}}  {:<5} {:>11} {:>11} {:>11} {:>11}\n", "name", name_width, "shape", shape_width, "dtype", "min",
                   "max", "mean", "std");
  for (const TensorRow& r : all.rows) {
    s += fmt::format("{:<{}}  {:<{}}  {:<5} {:>11.4g} {:>11.4g} {:>11.4g} {:>11.4g}", r.name, name_width, r.shape.str(),
                     shape_width, name(r.dtype), r.min, r.max, r.mean, r.std);
    if (r.nan) s += fmt::format("  {} NaN", r.nan);
    if (r.inf) s += fmt::format("  {} Inf", r.inf);
    s += '\n';
  }
  return s + fmt::format("NaN {}, Inf {}\n", all.nan, all.inf);
}

std::string to_json(const Inspection& all) {
  std::vector<std::string> rows, metadata;
  for (const TensorRow& r : all.rows)
    rows.push_back(fmt::format(
        R"({{"name":{},"shape":[{}],"dtype":"{}","parameter":{},"min":{},"max":{},"mean":{},"std":{},"nan":{},"inf":{}}})",
        json_quoted(r.name), fmt::join(r.shape.begin(), r.shape.end(), ","), name(r.dtype), r.parameter, json_number(r.min),
        json_number(r.max), json_number(r.mean), json_number(r.std), r.nan, r.inf));
  for (const auto& [key, value] : all.metadata) metadata.push_back(json_quoted(key) + ":" + json_quoted(value));
  return fmt::format(
      R"({{"path":{},"format":"{}","tensors":{},"parameters":{},"buffers":{},"bytes":{},"nan":{},"inf":{},"metadata":{{{}}},"rows":[{}]}})",
      json_quoted(all.path), name(all.format), all.rows.size(), all.parameters, all.buffers, all.bytes, all.nan, all.inf,
      fmt::join(metadata, ","), fmt::join(rows, ","));
}

}  // namespace graft::io
