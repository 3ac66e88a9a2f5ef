// The proof that frozen is frozen: hashes of every tensor of a network before and after training.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/module.h"

namespace graft::transfer {

// xxh3 of dtype, shape and bytes; two tensors with the same hash are taken as bit-equal.
uint64_t hash_tensor(const Tensor&);
// Of all parameters and buffers with their names, in definition order: the identity of trained weights.
uint64_t hash_weights(const nn::Module&);

// One tensor of a network. A parameter is frozen when it requires no gradient, a buffer when its module is frozen.
struct TensorState {
  std::string name;
  Tensor tensor;
  bool buffer, frozen;
};
std::vector<TensorState> tensor_states(const nn::Module&);  // parameters, then buffers, in definition order

struct ProofReport {
  int64_t frozen = 0;                  // tensors (parameters and buffers) that had to keep their bits, and did
  int64_t trained = 0;                 // parameters that changed
  std::vector<std::string> unchanged;  // trainable, but every gradient was zero (a dead layer)
  std::string str() const;             // one line
};

class FreezeProof {
 public:
  explicit FreezeProof(const nn::Module&);  // before training

  // After training, with the gradients of the last step still in place. Throws InternalError that names the tensor: a
  // frozen one changed; a trainable one got no gradient, or a gradient that had to move it (lr * |g| visible beside |w|)
  // and did not.
  ProofReport verify(const nn::Module&, double lr) const;

 private:
  struct Entry {
    std::string name;
    bool buffer, frozen;
    uint64_t hash;
  };
  std::vector<Entry> entries_;
};

}  // namespace graft::transfer
