#include "kernels/common/error.h"
#include "kernels/common/registry.h"
#include "kernels/embedding/embedding_ref.h"

namespace graft {

void check_ids(const int64_t* ids, const EmbeddingParams& p) {
  for (int64_t i = 0; i < p.n; ++i)
    check<ShapeError>(0 <= ids[i] && ids[i] < p.vocabulary, "embedding: ids: expected in [0, {}), got {} at {}", p.vocabulary,
                      ids[i], i);
}

GRAFT_REF_KERNEL(embedding, forward, EmbeddingForward);
GRAFT_REF_KERNEL(embedding, backward, EmbeddingBackward);

}  // namespace graft
