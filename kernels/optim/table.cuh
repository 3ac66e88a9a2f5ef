// All tensors of a step in one launch: a table of them is the kernel's argument, a block finds its piece by bisection.
// 512 tensors fit below the 32,764 bytes that CUDA 12.1 and newer pass to a kernel; lists up to 48 travel in 3 KB.
#pragma once
#include <algorithm>
#include <span>

#include "kernels/common/launch.h"

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

// f(item, i) for every element of this block's piece.
template <class Item, int kCapacity, class F>
__device__ void for_piece(const Table<Item, kCapacity>& table, F f) {
  int low = 0, high = table.count;  // the last tensor that begins at or before this block
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (table.first[middle] <= blockIdx.x) low = middle;
    else high = middle;
  }
  const int64_t begin = int64_t(blockIdx.x - table.first[low]) * kPiece, n = table.item[low].n;
  const int64_t end = begin + kPiece < n ? begin + kPiece : n;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) f(table.item[low], i);
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
