// What a weight file holds: one row of statistics per tensor (`graft inspect`).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "io/weights/weights.h"

namespace graft::io {

struct TensorRow {
  std::string name;
  Shape shape;
  DType dtype;
  bool parameter;              // counting rule: is_parameter()
  double min, max, mean, std;  // of the finite values (std of the population); NaN where there is none
  int64_t nan = 0, inf = 0;
};

struct Inspection {
  std::string path;
  WeightFormat format;
  std::vector<TensorRow> rows;
  Metadata metadata;
  int64_t parameters = 0, buffers = 0, bytes = 0, nan = 0, inf = 0;  // parameters and buffers count elements
};

// Parameters are the tensors of a float type except those that batch norm does not train (names whose last part is
// running_mean or running_var; num_batches_tracked is an integer) and the state of an optimizer ("optimizer.NAME").
bool is_parameter(std::string_view name, DType);

TensorRow describe(const std::string& name, const Tensor&);
Inspection inspect(const std::filesystem::path& path);
std::string to_text(const Inspection&);  // a table and a line of totals
std::string to_json(const Inspection&);  // one object; NaN as null

}  // namespace graft::io
