#include "io/checkpoint.h"

#include <xxhash.h>

#include <charconv>
#include <memory>

#include "io/weights/safetensors.h"

namespace graft::io {
namespace {

// In the file: tensors "weights.NAME" and "optimizer.NAME"; metadata "graft.checkpoint" (the version), "step",
// "random.NAME" = "key offset", "meta.KEY", and "hash" over all of them.
constexpr std::string_view kVersionKey = "graft.checkpoint", kVersion = "1", kHashKey = "hash";
constexpr std::string_view kWeights = "weights.", kOptimizer = "optimizer.", kRandom = "random.", kMeta = "meta.";

std::string hash_of(const NamedTensors& tensors, const Metadata& metadata) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  auto add = [&](const void* p, size_t n) {
    const uint64_t size = n;  // lengths too: moving a byte from one part to the next must show
    XXH3_64bits_update(state.get(), &size, sizeof size);
    if (n) XXH3_64bits_update(state.get(), p, n);
  };
  for (const auto& [key, value] : metadata) {
    if (key == kHashKey) continue;
    add(key.data(), key.size());
    add(value.data(), value.size());
  }
  for (const auto& [name, t] : tensors) {
    const Tensor host = t.to(Device{});
    const DType dtype = t.dtype();
    add(name.data(), name.size());
    add(&dtype, sizeof dtype);
    add(t.shape().begin(), size_t(t.rank()) * sizeof(int64_t));
    add(host.raw(), host.bytes());
  }
  return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

// "12 34" -> values; false unless the text is exactly that.
bool read_numbers(std::string_view text, std::initializer_list<uint64_t*> values) {
  for (uint64_t* v : values) {
    if (v != *values.begin()) {
      if (!text.starts_with(' ')) return false;
      text.remove_prefix(1);
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *v);
    if (error != std::errc{}) return false;
    text.remove_prefix(size_t(end - text.data()));
  }
  return text.empty();
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& c) {
  NamedTensors tensors;
  for (const auto& [name, t] : c.weights) tensors.emplace_back(std::string(kWeights) + name, t);
  for (const auto& [name, t] : c.optimizer) tensors.emplace_back(std::string(kOptimizer) + name, t);
  Metadata metadata{{std::string(kVersionKey), std::string(kVersion)}, {"step", std::to_string(c.step)}};
  for (const auto& [name, r] : c.random) metadata[std::string(kRandom) + name] = fmt::format("{} {}", r.key, r.offset);
  for (const auto& [key, value] : c.meta) metadata[std::string(kMeta) + key] = value;
  metadata[std::string(kHashKey)] = hash_of(tensors, metadata);
  save_safetensors(path, tensors, metadata);
}

Checkpoint parse_checkpoint(ByteSpan content, std::string_view where) {
  WeightFile file = parse_safetensors(content, where);
  const auto version = file.metadata.find(std::string(kVersionKey));
  check<LoadError>(version != file.metadata.end(), "{}: expected a checkpoint, got a weight file (no metadata '{}')", where,
                   kVersionKey);
  check<LoadError>(version->second == kVersion,
                   "{}: checkpoint version: expected {}, got {} (written by another version of "
                   "Graft)",
                   where, kVersion, version->second);
  const std::string hash = hash_of(file.tensors, file.metadata), &stated = file.metadata[std::string(kHashKey)];
  check<LoadError>(hash == stated, "{}: checkpoint hash: expected {}, got {} (the file is damaged)", where, stated, hash);

  Checkpoint c;
  for (auto& [name, t] : file.tensors) {
    const bool weight = name.starts_with(kWeights);
    check<LoadError>(weight || name.starts_with(kOptimizer), "{}: {}: expected a name in {} or {}", where, name, kWeights,
                     kOptimizer);
    if (weight) c.weights.emplace_back(name.substr(kWeights.size()), t);
    else c.optimizer.emplace_back(name.substr(kOptimizer.size()), t);
  }
  check<LoadError>(read_numbers(file.metadata["step"], {&c.step}), "{}: step: expected a number, got '{}'", where,
                   file.metadata["step"]);
  for (const auto& [key, value] : file.metadata) {
    if (key.starts_with(kMeta)) c.meta[key.substr(kMeta.size())] = value;
    if (!key.starts_with(kRandom)) continue;
    Philox& r = c.random[key.substr(kRandom.size())];
    check<LoadError>(read_numbers(value, {&r.key, &r.offset}), "{}: {}: expected two numbers, got '{}'", where, key, value);
  }
  return c;
}

Checkpoint load_checkpoint(const std::filesystem::path& path) { return parse_checkpoint(read_file(path), path.string()); }

}  // namespace graft::io
