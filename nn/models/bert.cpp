// BERT (Devlin, Chang, Lee, Toutanova 2018): token, position and segment embedding with a layer norm, post-norm blocks with
// the exact GELU, and a classifier on tanh(pooler(first token)). Set set_lengths() where a batch is padded. Every token counts as
// of segment 0. The perceptron is 4 dim wide; layer norms add 1e-12.
//
// Names as in Hugging Face's BertModel (with "bert." in front in BertForSequenceClassification): embeddings.word_embeddings.weight,
// embeddings.position_embeddings.weight, embeddings.token_type_embeddings.weight, embeddings.LayerNorm.weight,
// encoder.layer.0.attention.output.dense.weight, encoder.layer.0.attention.output.LayerNorm.weight,
// encoder.layer.0.intermediate.dense.weight, encoder.layer.0.output.dense.weight, encoder.layer.0.output.LayerNorm.weight,
// pooler.dense.weight, classifier.weight and their biases; matrices are [out, in] in both. Only attention.self.query, .key and
// .value are one here: the rows of encoder.layer.0.attention.self.qkv, in this order.
#include "nn/layers/activation.h"
#include "nn/layers/embedding.h"
#include "nn/layers/shape.h"
#include "nn/layers/transformer.h"
#include "nn/models/models.h"

namespace graft::nn {

std::unique_ptr<Chain> bert(const TransformerSize& size, int64_t classes) {
  constexpr double kEps = 1e-12;
  constexpr Gaussian2014 kGaussian{0.02, 0};
  auto net = std::make_unique<Chain>();
  auto embedding = std::make_unique<Chain>();
  embedding->add<TokenEmbedding>(
      "", TokenEmbeddingOptions{
              .vocabulary = size.vocabulary,
              .context = size.context,
              .dim = size.dim,
              .types = 2,
              .names = {.tokens = "word_embeddings", .positions = "position_embeddings", .types = "token_type_embeddings"}});
  embedding->add<LayerNorm>("LayerNorm", size.dim, kEps);
  embedding->add<Dropout>("drop", size.dropout);
  net->append("embedding", "embeddings", std::move(embedding));

  for (int64_t i = 0; i < size.layers; ++i)
    net->append(fmt::format("layer.{}", i), fmt::format("encoder.layer.{}", i),
                std::make_unique<TransformerBlock>(TransformerOptions{.dim = size.dim,
                                                                      .heads = size.heads,
                                                                      .norm = NormPlace::post,
                                                                      .activation = Activation::gelu,
                                                                      .eps = kEps,
                                                                      .dropout = size.dropout,
                                                                      .gaussian = kGaussian,
                                                                      .residual_gaussian = kGaussian,
                                                                      .names = {.norm1 = "attention.output.LayerNorm",
                                                                                .qkv = "attention.self.qkv",
                                                                                .out = "attention.output.dense",
                                                                                .norm2 = "output.LayerNorm",
                                                                                .expand = "intermediate.dense",
                                                                                .contract = "output.dense"}}));
  auto head = std::make_unique<Chain>();
  head->add<FirstToken>("");
  head->add<Linear>("pooler.dense", size.dim, size.dim, LinearOptions{.activation = Activation::tanh, .gaussian = kGaussian});
  head->add<Dropout>("drop", size.dropout);
  head->add<Linear>("classifier", size.dim, classes, LinearOptions{.gaussian = kGaussian});
  net->append("head", "", std::move(head));
  return net;
}

}  // namespace graft::nn
