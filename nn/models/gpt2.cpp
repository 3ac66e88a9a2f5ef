// GPT-2 (Radford, Wu, Child, Luan, Amodei, Sutskever 2019): token and position embedding, pre-norm blocks with causal attention
// and the tanh form of GELU, a last layer norm, and an output layer that is the token embedding. Initial values N(0, 0.02^2),
// divided by sqrt(2 layers) where a block ends in a residual sum.
//
// Names as in Hugging Face's GPT2Model (with "transformer." in front in GPT2LMHeadModel): wte.weight, wpe.weight,
// h.0.ln_1.weight, h.0.attn.c_attn.weight, h.0.attn.c_proj.weight, h.0.ln_2.weight, h.0.mlp.c_fc.weight, h.0.mlp.c_proj.weight,
// ln_f.weight and their biases. The four c_ matrices are stored there as [in, out], here as [out, in].
#include <cmath>

#include "nn/layers/embedding.h"
#include "nn/layers/transformer.h"
#include "nn/models/models.h"

namespace graft::nn {

std::unique_ptr<Chain> gpt2(const TransformerSize& size) {
  auto net = std::make_unique<Chain>();
  auto embedding = std::make_unique<Chain>();
  const auto& tokens = embedding->add<TokenEmbedding>(
      "",
      TokenEmbeddingOptions{
          .vocabulary = size.vocabulary, .context = size.context, .dim = size.dim, .names = {.tokens = "wte", .positions = "wpe"}});
  embedding->add<Dropout>("drop", size.dropout);
  net->append("embedding", "", std::move(embedding));

  const double std = 0.02;
  for (int64_t i = 0; i < size.layers; ++i)
    net->add<TransformerBlock>(fmt::format("h.{}", i),
                               TransformerOptions{.dim = size.dim,
                                                  .heads = size.heads,
                                                  .causal = true,
                                                  .norm = NormPlace::pre,
                                                  .activation = Activation::gelu_tanh,
                                                  .dropout = size.dropout,
                                                  .gaussian = {std, 0},
                                                  .residual_gaussian = {std / std::sqrt(2.0 * double(size.layers)), 0},
                                                  .names = {.norm1 = "ln_1",
                                                            .qkv = "attn.c_attn",
                                                            .out = "attn.c_proj",
                                                            .norm2 = "ln_2",
                                                            .expand = "mlp.c_fc",
                                                            .contract = "mlp.c_proj"}});
  auto head = std::make_unique<Chain>();
  head->add<LayerNorm>("ln_f", size.dim);
  head->add<TiedLinear>("", tokens.tokens);
  net->append("head", "", std::move(head));
  return net;
}

}  // namespace graft::nn
