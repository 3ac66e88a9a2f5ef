#include "io/cifar.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (io::Cifar kind : {io::Cifar::cifar10, io::Cifar::cifar100}) {
    try {
      const io::CifarBatch batch = io::parse_cifar(std::as_bytes(std::span(data, size)), kind, "input");
      if (batch.images.size(0) != batch.labels.size(0)) __builtin_trap();
    } catch (const LoadError&) {
    }
  }
  return 0;
}
