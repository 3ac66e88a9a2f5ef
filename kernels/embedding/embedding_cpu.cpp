#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding/embedding_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <cstring>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/embedding/embedding.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// Rows [first, last) of dweight: every task looks at all ids, so each row is summed in their order by one thread.
void Scatter(float* dweight, const float* dy, const int64_t* ids, int64_t n, int64_t features, int64_t first, int64_t last) {
  std::fill(dweight + first * features, dweight + last * features, 0.0f);
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] < first || ids[i] >= last) continue;
    float* row = dweight + ids[i] * features;
    map_floats(
        row, features, [](VF a, VF b) { return hn::Add(a, b); }, static_cast<const float*>(row), dy + i * features);
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Scatter);

void embedding_forward(Context& context, float* y, const float* weight, const int64_t* ids, const EmbeddingParams& p) {
  check_ids(ids, p);
  const int64_t d = p.features, grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(d, 1));
  context.pool().parallel_range(p.n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::memcpy(y + i * d, weight + ids[i] * d, size_t(d) * sizeof(float));
  });
}

void embedding_backward(Context& context, float* dweight, const float* dy, const int64_t* ids, const EmbeddingParams& p) {
  check_ids(ids, p);
  const int64_t rows = std::max<int64_t>(1, (p.vocabulary + 31) / 32);  // 32 tasks: looking at the ids stays cheap
  context.pool().parallel_range(p.vocabulary, rows, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(Scatter)(dweight, dy, ids, p.n, p.features, first, last);
  });
}

GRAFT_KERNEL(embedding, forward, cpu, float, EmbeddingForward);
GRAFT_KERNEL(embedding, backward, cpu, float, EmbeddingBackward);

}  // namespace graft::cpu
#endif
