// What attention_cpu.cpp hands from the threads to the vector code: one tile of rows of one head.
#pragma once
#include "kernels/attention/attention.h"

namespace graft::cpu {

inline constexpr int64_t kOwn = 48, kStream = 128;  // 24 KB of scores, and as much again backward

enum class Panels { rows, features };
enum class Rows { queries, keys };

struct ForwardTile {
  const AttentionParams* params;
  int64_t first, rows;     // of the queries
  int64_t count;           // keys that are no padding
  int64_t q_step, y_step;  // floats from a row to the next
  const float *q, *k, *v;  // q at the first row; k packed by rows, v by features
  float *y, *lse, *scores;
};

// Rows: queries, where first, second are q, dy and the stream is k, v; or keys, where they are k, v and the stream is q, dy.
struct BackwardTile {
  const AttentionParams* params;
  int64_t at, rows, count, first_step, second_step;
  bool accumulate = false;  // on to d_first and d_second
  const float *first, *second, *stream_first, *stream_second, *stream_first_features, *stream_second_features = nullptr;
  const float *lse, *delta;  // of the queries: of the first row, or of the stream
  float *d_first, *d_second = nullptr, *scores;
};

}  // namespace graft::cpu
