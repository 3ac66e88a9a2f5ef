// All tensors of a step in one launch: a table of them is the kernel's argument, a block finds its piece by bisection.
// 512 tensors fit below the 32,764 bytes that CUDA 12.1 and newer pass to a kernel; lists up to 48 travel in 3 KB.
#pragma once
#include <algorithm>
#include <span>

#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/optim/step_state.h"

#ifndef __grid_constant__
#define __grid_constant__  // nvcc: the argument is read where it lies, not copied to local memory
#endif

namespace graft::GRAFT_GPU {
namespace {

constexpr int64_t kPiece = 2048;  // elements of a block: 8 a thread

template <class Item, int kCapacity>
struct Table {
  int count;
  uint32_t first[kCapacity];  // block of each tensor's first piece
  Item item[kCapacity];       // has a member n
};

// The last tensor that begins at or before this block.
template <class Item, int kCapacity>
__device__ int tensor_of_block(const Table<Item, kCapacity>& table) {
  int low = 0, high = table.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (table.first[middle] <= blockIdx.x) low = middle;
    else high = middle;
  }
  return low;
}

// f.operator()<k>(item, i) for the elements i .. i + k - 1 of this block's piece, k = kWidth as long as there are so many.
template <int kWidth, class Item, int kCapacity, class F>
__device__ void for_piece(const Table<Item, kCapacity>& table, F f) {
  const int at = tensor_of_block(table);
  // A copy in registers: nvcc 13 reads an item of the table again for every use and takes stores of vectors through it apart, four
  // bytes a lane every 32. SGD, where nothing was loaded through the same address before, then took 72 bytes of L2's writes for 10.
  const Item item = table.item[at];
  const int64_t begin = int64_t(blockIdx.x - table.first[at]) * kPiece, n = item.n;
  const int64_t end = begin + kPiece < n ? begin + kPiece : n;
  for (int64_t i = begin + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    if (i + kWidth <= end) f.template operator()<kWidth>(item, i);
    else
      for (int64_t j = i; j < end; ++j) f.template operator()<1>(item, j);
  }
}

// What StepState makes of a step, once for a block.
struct StepNow {
  float lr, grad_scale;
  double step;
};
__device__ inline StepNow step_now(const StepState* state, double step) {
  if (!state) return {1, 1, step};
  const double norm = sqrt(state->squares);
  const bool clip = state->max_norm > 0 && norm > state->max_norm && norm < INFINITY;
  return {float(state->lr), clip ? float(state->max_norm / (norm + 1e-6)) : 1.0f, double(state->step)};
}

// run(table, blocks) for tables that together hold every item that is not empty.
template <int kCapacity, class Item, class Run>
void for_tables(std::span<const Item> items, Run run) {
  Table<Item, kCapacity> table{};
  uint32_t blocks = 0;
  const auto flush = [&] {
    if (table.count) run(table, blocks);
    table.count = 0, blocks = 0;
  };
  for (const Item& item : items) {
    if (item.n == 0) continue;
    if (table.count == kCapacity) flush();
    table.first[table.count] = blocks;
    table.item[table.count++] = item;
    blocks += uint32_t((item.n + kPiece - 1) / kPiece);
  }
  flush();
}

}  // namespace
}  // namespace graft::GRAFT_GPU
