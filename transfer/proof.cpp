#include "transfer/proof.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <cmath>
#include <unordered_map>

namespace graft::transfer {
namespace {

// Parents come before children, so the entry of a buffer ends as the state of the module that owns it.
void buffer_states(const nn::Module& m, const std::string& path, std::unordered_map<std::string, bool>& frozen) {
  for (auto& [name, t] : m.named_buffers()) frozen[nn::join_path(path, name)] = m.frozen();
  for (auto& [name, child] : m.children()) buffer_states(*child, nn::join_path(path, name), frozen);
}

double largest(const Tensor& t) {
  double m = 0;
  for (double v : t.to_vector<double>()) m = std::fmax(m, std::fabs(v));
  return m;
}

}  // namespace

uint64_t hash_tensor(const Tensor& t) {
  const std::string head = fmt::format("{}{}", name(t.dtype()), t.shape());
  const Tensor host = t.host();
  return XXH3_64bits_withSeed(host.raw(), host.bytes(), XXH3_64bits(head.data(), head.size()));
}

uint64_t hash_weights(const nn::Module& m) {
  uint64_t h = 0;
  for (const TensorState& s : tensor_states(m)) {
    h = XXH3_64bits_withSeed(s.name.data(), s.name.size(), h);
    const uint64_t t = hash_tensor(s.tensor);
    h = XXH3_64bits_withSeed(&t, sizeof t, h);
  }
  return h;
}

std::vector<TensorState> tensor_states(const nn::Module& m) {
  std::vector<TensorState> all;
  for (auto& [name, t] : m.named_parameters()) all.push_back({name, t, false, !t.requires_grad()});
  std::unordered_map<std::string, bool> frozen;
  buffer_states(m, "", frozen);
  for (auto& [name, t] : m.named_buffers()) all.push_back({name, t, true, frozen[name]});
  return all;
}

FreezeProof::FreezeProof(const nn::Module& m) {
  for (const TensorState& s : tensor_states(m)) entries_.push_back({s.name, s.buffer, s.frozen, hash_tensor(s.tensor)});
}

ProofReport FreezeProof::verify(const nn::Module& m, double lr) const {
  const std::vector<TensorState> now = tensor_states(m);
  check<InternalError>(now.size() == entries_.size(), "proof: the network had {} tensors before training and has {} now",
                       entries_.size(), now.size());
  ProofReport report;
  for (size_t i = 0; i < now.size(); ++i) {
    const Entry& before = entries_[i];
    const Tensor& t = now[i].tensor;
    check<InternalError>(now[i].name == before.name && now[i].frozen == before.frozen,
                         "proof: {} was {} before training, now {} is {}", before.name, before.frozen ? "frozen" : "trainable",
                         now[i].name, now[i].frozen ? "frozen" : "trainable");
    const bool same = hash_tensor(t) == before.hash;
    if (before.frozen) {
      check<InternalError>(same, "proof: {} is frozen, and training changed it", before.name);
      check<InternalError>(!t.grad(), "proof: {} is frozen, and received a gradient", before.name);
      ++report.frozen;
    } else if (!before.buffer) {
      if (!same) {
        ++report.trained;
        continue;
      }
      if (lr > 0) {
        check<InternalError>(t.grad().defined(), "proof: {} is trainable, and received no gradient", before.name);
        // A step of 1e-6 of the weight is 8 units in the last place of a float: it cannot be lost by rounding.
        const double step = lr * largest(t.grad());
        check<InternalError>(!(step > 1e-6 * largest(t)), "proof: {} is trainable with a gradient, and did not change",
                             before.name);
      }
      report.unchanged.push_back(before.name);
    }
  }
  return report;
}

std::string ProofReport::str() const {
  std::string s = fmt::format("{} frozen tensors kept every bit, {} trained", frozen, trained);
  if (!unchanged.empty()) s += fmt::format(", {} had no gradient to follow: {}", unchanged.size(), fmt::join(unchanged, ", "));
  return s;
}

}  // namespace graft::transfer
