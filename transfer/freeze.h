// Freezing by name: a frozen block gets no gradient, no weight decay, no momentum, no new running statistics.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft::nn {
class Chain;
}

namespace graft::transfer {

// Freezes what the patterns name and returns the paths of it. `patterns` is a comma-separated list of
//   conv2            one block
//   conv1-conv3      the blocks from the first to the second, both included; also features.0-4
//   layer1.*         a glob (* any characters, ? one) over blocks and the modules inside them
// Throws ConfigError, with the names there are, when a pattern matches nothing.
std::vector<std::string> freeze(nn::Chain&, std::string_view patterns);
std::vector<std::string> unfreeze(nn::Chain&, std::string_view patterns);

// Blocks 0 .. n-1 (n from 0 to all).
std::vector<std::string> freeze_first(nn::Chain&, int64_t n);

// * matches any characters (dots too), ? one.
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace graft::transfer
