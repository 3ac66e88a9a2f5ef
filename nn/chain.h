// Chain: modules run one after another. A network is a chain of named blocks, one per weight layer (conv + activation +
// pooling; a residual block), and a transfer cut "after n" lies behind block n - 1. A block may itself be a chain.
#pragma once
#include <memory>

#include "nn/module.h"

namespace graft::nn {

class Chain : public Module {
 public:
  // Appends a block; returns it. Its parameters are found under `path`, which is the name unless given: a ResNet's stem is
  // the block "stem" with the parameters "conv1.weight", "bn1.weight". ConfigError when a non-empty name is taken.
  template <class M, class... Args>
  M& add(const std::string& name, Args&&... args) {
    auto m = std::make_unique<M>(std::forward<Args>(args)...);
    M& made = *m;
    append(name, name, std::move(m));
    return made;
  }
  Module& append(std::string name, std::string path, std::unique_ptr<Module> block);

  int size() const { return int(blocks_.size()); }
  const std::string& name(int i) const { return at(i).name; }
  const std::string& path(int i) const { return at(i).path; }
  Module& block(int i) { return *at(i).module; }
  const Module& block(int i) const { return *at(i).module; }
  int index(const std::string& name) const;  // ConfigError that lists the blocks when there is none of that name

  Tensor forward(const Tensor& x) override { return forward(x, 0, size()); }
  // Blocks [first, last); x is what block `first` takes. forward(forward(x, 0, k), k, size()) has the bits of forward(x).
  Tensor forward(const Tensor& x, int first, int last);

  Tensor loss(const Tensor& x, const Tensor& labels, double label_smoothing = 0) override;

  Shape output_shape(const Shape& x) const override;
  int64_t multiply_adds(const Shape& x) const override;

 private:
  struct Block {
    std::string name, path;
    std::unique_ptr<Module> module;
  };
  const Block& at(int i) const;
  std::vector<Block> blocks_;
};

}  // namespace graft::nn
