// The networks that Graft builds by name. Every one is a Chain whose blocks are its cut points.
//   study_cnn             conv1..conv4, fc5..fc7: the small network of the transfer study, for 32x32 or 28x28 images
//   mlp                   fc1..fc3 on the flattened image
//   alexnet               conv1..conv5, fc6..fc8: CaffeNet (Krizhevsky 2012 with pooling before LRN; Jia 2014), 227x227
//   resnet20/32/44/56     stem, layer1.0 .. layer3.n-1, head: He 2016 for CIFAR, option-A shortcuts
//   resnet18/50           stem, layer1.0 .. layer4.n-1, head: He 2016 for ImageNet, 224x224, as torchvision has them
//   gpt2_124m             embedding, h.0 .. h.11, head: GPT-2 small (Radford 2019), up to 1024 tokens
//   decoder               embedding, h.0 .. h.5, head: GPT-2 of 6 layers of 384, up to 256 tokens
//   encoder               embedding, layer.0 .. layer.5, head: BERT of 6 layers of 384 (MiniLM's shape), up to 512 tokens
// Images come as [N, H, W, C], token ids as i64 [N, T]. A language model gives logits [N, T, classes] of the next token, every
// other network [N, classes].
// Weights are NaN until initialize() (nn/init.h) or a loader fills them: a forgotten layer shows.
#pragma once
#include <array>

#include "nn/chain.h"

namespace graft::nn {

struct ModelSpec {
  std::string name;
  Shape input;      // one image [H, W, C], or tokens [T]
  int64_t classes;  // of a language model: its vocabulary
};

// ConfigError: unknown name (lists all). ShapeError: the input is too small for the network.
std::unique_ptr<Chain> make_model(const ModelSpec&);
std::vector<std::string> model_names();
bool takes_tokens(const std::string& model);  // else images; ConfigError: unknown name
int64_t vocabulary(const ModelSpec&);         // ids are below it; 0 for networks on images

std::unique_ptr<Chain> study_cnn(const ModelSpec&);
std::unique_ptr<Chain> mlp(const ModelSpec&);
std::unique_ptr<Chain> alexnet(const ModelSpec&);
std::unique_ptr<Chain> resnet_cifar(const ModelSpec&, int depth);  // 6 n + 2

struct ResNetOptions {
  std::array<int, 4> blocks = {2, 2, 2, 2};  // of each stage
  bool bottleneck = false;                   // blocks of three convolutions, four times as wide at their ends
  int64_t width = 64;                        // channels of the stem
};
std::unique_ptr<Chain> resnet(const ModelSpec&, const ResNetOptions&);

struct TransformerSize {
  int64_t layers, heads, dim, vocabulary, context;
  double dropout = 0;  // of embeddings and residual branches; published training used 0.1
};
std::unique_ptr<Chain> gpt2(const TransformerSize&);
std::unique_ptr<Chain> bert(const TransformerSize&, int64_t classes);

}  // namespace graft::nn
