// All tensors of a step as one list of pieces, so that one parallel pass serves a network of many small tensors.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "kernels/common/context.h"

namespace graft {

// Runs f(tensor, begin, end) on every piece of every tensor (which has a member n).
template <class Item, class F>
void for_each_piece(Context& context, std::span<const Item> tensors, F f) {
  constexpr int64_t kPiece = 1 << 13;  // elements: with weight, gradient and state about the size of L1
  std::vector<int64_t> first{0};       // number of the first piece of each tensor
  for (const Item& t : tensors) first.push_back(first.back() + (t.n + kPiece - 1) / kPiece);
  context.pool().parallel_for(first.back(), [&](int64_t piece, int) {
    const size_t t = size_t(std::upper_bound(first.begin(), first.end(), piece) - first.begin()) - 1;
    const int64_t begin = (piece - first[t]) * kPiece;
    f(tensors[t], begin, std::min(begin + kPiece, tensors[t].n));
  });
}

}  // namespace graft
