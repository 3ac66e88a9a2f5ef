// The one inner loop of matmul, linear and conv2d: a tile of c held in registers while k runs.
//
//   c[row][0 .. cols) (+)= sum over k of a[row][k] * b[k][0 .. cols)
//
// Every element is one chain of fused multiply-adds in the order of k, whatever the tile it falls into, so its bits
// depend on neither the number of rows, nor the blocking of k, nor the threads. a is read in place, one broadcast at a
// time: its k-th element of a row lies at row pointer + run offset + i * a_step, and the runs are the same for all rows.
// That covers a matrix (one run), its transpose (a_step), a patch of a padded image (a run per filter row) and the
// pixels of an image (a run per image row). b is packed into panels of kPanel columns.
#pragma once
#include <algorithm>
#include <cstdint>

namespace graft::cpu {

struct Run {
  int64_t offset, count;
};

struct Tile {
  const float* const* a;  // a pointer per row
  int64_t a_offset;       // added to all of them
  int64_t a_step;
  const Run* runs;
  int64_t run_count;
  const float* b;  // of the first k; the next ones follow at b_step, through all runs
  int64_t b_step;
  float* const* c;  // a pointer per row
  int64_t c_offset;
  int64_t cols;       // at most kPanel
  bool accumulate;    // start from c instead of zero
  const float* bias;  // [cols] or null: added last
  bool relu;          // then max(c, 0)
  // What the next tile will read from memory, in one piece: prefetched while this one is computed, some floats for each k. The
  // hardware does not follow a dozen short rows at once, nor know what comes after a tile.
  const float* ahead = nullptr;
  int64_t ahead_floats = 0;  // a tile
  bool stream = false;       // whole vectors of c go past the caches, which then read no line only to have it overwritten
};

// Results larger than this have left the caches before anyone reads them. Vectors that pass the caches begin at their size.
inline constexpr int64_t kStreamBytes = 16 << 20;
inline bool streams(const float* c, int64_t row, int64_t floats, int64_t lanes) {
  return floats * int64_t(sizeof(float)) > kStreamBytes && row % lanes == 0 &&
         reinterpret_cast<uintptr_t>(c) % (sizeof(float) * size_t(lanes)) == 0;
}

// What k runs through at a time: a panel of b this long (16 columns, 20 KB) stays in L1 while the rows pass by.
inline constexpr int64_t kBlockK = 320;

inline constexpr int64_t kGemmRows = 96;  // rows of a by kBlockK: 120 KB of L2; a multiple of every tile

// b as panels: b[k][0 .. n) becomes ceil(n / kPanel) panels, each [k][its width], the last as wide as whole vectors need.
struct PanelLayout {
  int64_t panel, lanes;  // floats in a panel's row and in a vector
  int64_t padded(int64_t n) const { return (n + lanes - 1) / lanes * lanes; }
  int64_t count(int64_t n) const { return (n + panel - 1) / panel; }
  int64_t width(int64_t n, int64_t p) const { return std::min(panel, padded(n) - p * panel); }
  int64_t cols(int64_t n, int64_t p) const { return std::min(panel, n - p * panel); }
};

PanelLayout panel_layout();  // of the instruction set in use

}  // namespace graft::cpu
