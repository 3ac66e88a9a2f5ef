// The binary version of CIFAR: records of 1 (CIFAR-10) or 2 (CIFAR-100: coarse, fine) label bytes and 3072 pixels, planes
// R, G, B of 32 x 32 (Krizhevsky 2009).
#pragma once
#include "io/file.h"
#include "tensor/tensor.h"

namespace graft::io {

enum class Cifar { cifar10, cifar100 };

struct CifarBatch {
  Tensor images;  // u8 [N, 32, 32, 3]
  Tensor labels;  // i64 [N], fine labels for CIFAR-100
};

// LoadError when the length is not a whole positive number of records, or a label is out of range.
CifarBatch parse_cifar(ByteSpan, Cifar, std::string_view where);

}  // namespace graft::io
