// Initial values of parameters, as a pure function of a key and the parameter's name.
#pragma once
#include <string_view>

#include "nn/module.h"

namespace graft::nn {

enum class Init {
  he_normal,       // weight N(0, 2 / fan_in), bias 0 (He, Zhang, Ren, Sun 2015)
  glorot_uniform,  // weight U(-a, a), a = sqrt(6 / (fan_in + fan_out)), bias 0 (Glorot & Bengio 2010)
  gaussian_2014,   // weight of a fixed standard deviation, bias 0 or 1: each layer's Gaussian2014 (CaffeNet's, GPT-2's, BERT's)
};
std::string_view name(Init);
Init init_from_name(std::string_view);  // ConfigError that lists the names

// What Init::gaussian_2014 gives a layer: the models set it where it differs from the layer's default.
struct Gaussian2014 {
  double std, bias;
};

// Fresh values for every parameter and buffer of m: norms start as the identity, with running statistics 0 and 1,
// embeddings as N(0, std^2) of their own std. Parameter "conv1.weight" draws from stream_key(key, "conv1.weight"): names are as m
// sees them, so a block by itself draws from "weight". The values depend neither on the order of calls nor on other parameters.
void initialize(Module& m, Init, uint64_t key);

// For layers: t = N(0, std^2), t = U(-limit, limit), the i-th element from the i-th numbers of the stream.
void fill_normal(const Tensor& t, double std, Philox stream);
void fill_uniform(const Tensor& t, double limit, Philox stream);
// weight [out, ..., in]: fan_in is the product of all dimensions but the first, fan_out of all but the last.
void fill_weight(const Tensor& weight, Init, double gaussian_std, Philox stream);

}  // namespace graft::nn
