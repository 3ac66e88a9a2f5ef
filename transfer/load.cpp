#include "transfer/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "nn/layers/linear.h"
#include "transfer/freeze.h"

namespace graft::transfer {
namespace {

// A tensor of the network, and how a file holds it.
struct Slot {
  std::string name;
  Tensor tensor;
  Shape image;  // of a linear layer that flattens: [H, W, C]; else of rank 0

  bool is_filter() const { return tensor.rank() == 4; }
  bool reorders_columns() const { return image.rank() == 3 && image[2] > 1 && image[0] * image[1] > 1; }
  Shape file_shape() const {
    const Shape& s = tensor.shape();
    return is_filter() ? Shape{s[0], s[3], s[1], s[2]} : s;
  }
};

void find_images(const nn::Module& m, const std::string& path, std::map<std::string, Shape>& images) {
  if (const auto* linear = dynamic_cast<const nn::Linear*>(&m)) images[nn::join_path(path, "weight")] = linear->options().image;
  for (auto& [name, child] : m.children()) find_images(*child, nn::join_path(path, name), images);
}

std::vector<Slot> slots(const nn::Module& m) {
  std::map<std::string, Shape> images;
  find_images(m, "", images);
  std::vector<Slot> all;
  for (auto& [name, t] : m.named_parameters()) all.push_back({name, t, images.count(name) ? images[name] : Shape{}});
  for (auto& [name, t] : m.named_buffers()) all.push_back({name, t, {}});
  return all;
}

// [n, a, b] -> [n, b, a], elements of any type.
Tensor swap_last_two(const Tensor& from, int64_t n, int64_t a, int64_t b, Shape shape) {
  const Tensor t = from.host();
  const size_t size = dtype_size(t.dtype());
  Tensor y = Tensor::empty(shape, t.dtype());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < a; ++j)
      for (int64_t k = 0; k < b; ++k)
        std::memcpy(y.raw_bytes() + size_t((i * b + k) * a + j) * size, t.raw_bytes() + size_t((i * a + j) * b + k) * size, size);
  return y;
}

Tensor from_file(const Slot& s, const Tensor& t) {
  const Shape& shape = s.tensor.shape();
  if (s.is_filter()) return swap_last_two(t, shape[0], shape[3], shape[1] * shape[2], shape);
  if (s.reorders_columns()) return swap_last_two(t, shape[0], s.image[2], s.image[0] * s.image[1], shape);
  return t;
}

Tensor to_file(const Slot& s) {
  const Shape& shape = s.tensor.shape();
  if (s.is_filter()) return swap_last_two(s.tensor, shape[0], shape[1] * shape[2], shape[3], s.file_shape());
  if (s.reorders_columns()) return swap_last_two(s.tensor, shape[0], s.image[0] * s.image[1], s.image[2], shape);
  return s.tensor.device().on_host() ? s.tensor.clone() : s.tensor.host();
}

std::string transformation(const Slot& s, const Tensor& file) {
  std::string text;
  // A 1x1 filter, or one of a single input channel, is the same in both orders.
  if (s.is_filter() && s.tensor.size(3) > 1 && s.tensor.size(1) * s.tensor.size(2) > 1)
    text = fmt::format("OIHW {} -> OHWI", file.shape());
  if (s.reorders_columns()) text = fmt::format("columns CHW -> HWC of {}", s.image);
  if (file.dtype() != s.tensor.dtype())
    text += fmt::format("{}{} -> {}", text.empty() ? "" : ", ", name(file.dtype()), name(s.tensor.dtype()));
  return text;
}

bool floating(DType t) { return t <= DType::bf16; }

int64_t count_not_finite(const Tensor& t) {
  const auto count = [](const auto& values) { return std::ranges::count_if(values, [](auto v) { return !std::isfinite(v); }); };
  if (!floating(t.dtype())) return 0;
  if (t.dtype() == DType::f32) return count(t.span<float>());
  return t.dtype() == DType::f64 ? count(t.span<double>()) : count(t.to_vector<float>());
}

class Patterns {
 public:
  Patterns(const char* what, const std::vector<std::string>& globs) : what_(what), globs_(globs), used_(globs.size(), false) {}
  bool match(std::string_view name) {
    bool any = false;
    for (size_t i = 0; i < globs_.size(); ++i)
      if (glob_match(globs_[i], name)) any = used_[i] = true;
    return any;
  }
  void check_used() const {
    for (size_t i = 0; i < globs_.size(); ++i) check<ConfigError>(used_[i], "load: {}: '{}' matches no tensor", what_, globs_[i]);
  }

 private:
  const char* what_;
  const std::vector<std::string>& globs_;
  std::vector<bool> used_;
};

}  // namespace

LoadReport load(nn::Module& network, const nn::NamedTensors& file, const LoadOptions& options) {
  const std::vector<Slot> wanted = slots(network);
  Patterns skip("skip", options.skip), fresh("fresh", options.fresh);
  std::map<std::string, const Tensor*> found;
  std::vector<LoadRow> skipped;
  std::vector<std::string> faults;
  for (auto& [file_name, t] : file) {
    std::string name = file_name;
    if (!options.strip_prefix.empty() && name.starts_with(options.strip_prefix)) name.erase(0, options.strip_prefix.size());
    if (skip.match(name)) skipped.push_back({name, LoadAction::skipped, "on request", t.shape()});
    else if (glob_match("*num_batches_tracked", name)) skipped.push_back({name, LoadAction::skipped, "a counter", t.shape()});
    else if (!found.emplace(name, &t).second) faults.push_back(fmt::format("twice in the file: {}", name));
  }
  LoadReport report;
  std::vector<std::pair<const Slot*, const Tensor*>> copies;
  for (const Slot& s : wanted) {
    const auto entry = found.find(s.name);
    const Tensor* t = entry == found.end() ? nullptr : entry->second;
    if (t) found.erase(entry);
    if (fresh.match(s.name)) {
      report.rows.push_back({s.name, LoadAction::fresh, t ? "on request; the file's is not used" : "on request", s.tensor.shape()});
    } else if (!t) {
      faults.push_back(fmt::format("missing: {} {}", s.name, s.file_shape()));
    } else if (!(t->shape() == s.file_shape())) {
      faults.push_back(fmt::format("mis-shaped: {}: expected {}, got {}", s.name, s.file_shape(), t->shape()));
    } else if (floating(t->dtype()) != floating(s.tensor.dtype())) {
      faults.push_back(fmt::format("wrong type: {}: expected {}, got {}", s.name, name(s.tensor.dtype()), name(t->dtype())));
    } else if (const int64_t n = count_not_finite(*t)) {
      faults.push_back(fmt::format("not finite: {}: {} of {} values", s.name, n, t->numel()));
    } else {
      const std::string detail = transformation(s, *t);
      report.rows.push_back({s.name, detail.empty() ? LoadAction::loaded : LoadAction::transformed, detail, s.tensor.shape()});
      copies.emplace_back(&s, t);
    }
  }
  for (auto& [name, t] : file) {  // what is left, in file order
    const std::string plain =
        !options.strip_prefix.empty() && name.starts_with(options.strip_prefix) ? name.substr(options.strip_prefix.size()) : name;
    if (found.count(plain)) faults.push_back(fmt::format("unexpected: {} {}", plain, t.shape()));
  }
  check<LoadError>(faults.empty(), "load: {} tensors do not fit: {}", faults.size(), fmt::join(faults, "; "));
  skip.check_used();
  fresh.check_used();
  for (auto& [slot, t] : copies) slot->tensor.copy_from(from_file(*slot, *t));
  report.rows.insert(report.rows.end(), skipped.begin(), skipped.end());
  return report;
}

nn::NamedTensors to_file_layout(const nn::Module& m) {
  nn::NamedTensors all;
  for (const Slot& s : slots(m)) all.emplace_back(s.name, to_file(s));
  return all;
}

int64_t LoadReport::count(LoadAction a) const {
  return std::count_if(rows.begin(), rows.end(), [a](const LoadRow& r) { return r.action == a; });
}

std::string LoadReport::str() const {
  constexpr const char* kActions[] = {"loaded", "transformed", "skipped", "fresh"};
  size_t name_width = 6, shape_width = 5;
  for (const LoadRow& r : rows) {
    name_width = std::max(name_width, r.name.size());
    shape_width = std::max(shape_width, r.shape.str().size());
  }
  std::string s = fmt::format("{:{}}  {:{}}  {:11}\n", "tensor", name_width, "shape", shape_width, "action");
  for (const LoadRow& r : rows)
    s +=
        fmt::format("{:{}}  {:{}}  {:11}  {}\n", r.name, name_width, r.shape.str(), shape_width, kActions[int(r.action)], r.detail);
  return s + fmt::format("{} loaded, {} transformed, {} skipped, {} fresh\n", count(LoadAction::loaded),
                         count(LoadAction::transformed), count(LoadAction::skipped), count(LoadAction::fresh));
}

}  // namespace graft::transfer
