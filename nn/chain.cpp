#include "nn/chain.h"

namespace graft::nn {

Module& Chain::append(std::string name, std::string path, std::unique_ptr<Module> block) {
  for (const Block& b : blocks_)
    check<ConfigError>(name.empty() || b.name != name, "chain: there is already a block named {}", name);
  add_child(path, *block);
  blocks_.push_back({std::move(name), std::move(path), std::move(block)});
  return *blocks_.back().module;
}

const Chain::Block& Chain::at(int i) const {
  check<ConfigError>(0 <= i && i < size(), "chain: block: expected 0 to {}, got {}", size() - 1, i);
  return blocks_[size_t(i)];
}

int Chain::index(const std::string& name) const {
  std::string all;
  for (int i = 0; i < size(); ++i) {
    if (blocks_[size_t(i)].name == name) return i;
    all += (i ? ", " : "") + blocks_[size_t(i)].name;
  }
  throw ConfigError(fmt::format("chain: no block is named {} (there are {})", name, all));
}

Tensor Chain::forward(const Tensor& x, int first, int last) {
  check<ConfigError>(0 <= first && first <= last && last <= size(), "chain: blocks [{}, {}) of {}", first, last, size());
  Tensor y = x;
  for (int i = first; i < last; ++i) y = block(i).forward(y);
  return y;
}

Tensor Chain::loss(const Tensor& x, const Tensor& labels, double label_smoothing) {
  return block(size() - 1).loss(forward(x, 0, size() - 1), labels, label_smoothing);
}

Shape Chain::output_shape(const Shape& x) const {
  Shape y = x;
  for (const Block& b : blocks_) y = b.module->output_shape(y);
  return y;
}

int64_t Chain::multiply_adds(const Shape& x) const {
  int64_t n = 0;
  Shape y = x;
  for (const Block& b : blocks_) {
    n += b.module->multiply_adds(y);
    y = b.module->output_shape(y);
  }
  return n;
}

}  // namespace graft::nn
