#include "io/cifar.h"

namespace graft::io {

CifarBatch parse_cifar(ByteSpan bytes, Cifar kind, std::string_view where) {
  constexpr int64_t kPlane = 32 * 32, kPixels = 3 * kPlane;
  const int64_t label_bytes = kind == Cifar::cifar10 ? 1 : 2, classes = kind == Cifar::cifar10 ? 10 : 100;
  const int64_t record = label_bytes + kPixels;
  check<LoadError>(!bytes.empty() && int64_t(bytes.size()) % record == 0,
                   "{}: CIFAR: expected a whole number of records of {} bytes, got {} bytes", where, record, bytes.size());
  const int64_t n = int64_t(bytes.size()) / record;
  CifarBatch batch{Tensor::empty({n, 32, 32, 3}, DType::u8), Tensor::empty({n}, DType::i64)};
  for (int64_t i = 0; i < n; ++i) {
    const auto* in = reinterpret_cast<const uint8_t*>(bytes.data()) + i * record;
    const int64_t label = in[label_bytes - 1];
    check<LoadError>(label < classes, "{}: CIFAR: record {}: label {} of {} classes", where, i, label, classes);
    batch.labels.data<int64_t>()[i] = label;
    uint8_t* out = batch.images.data<uint8_t>() + i * kPixels;
    for (int64_t p = 0; p < kPlane; ++p)
      for (int64_t c = 0; c < 3; ++c) out[3 * p + c] = in[label_bytes + c * kPlane + p];
  }
  return batch;
}

}  // namespace graft::io
