#include "transfer/cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "io/datasets/loader.h"
#include "nn/chain.h"
#include "tensor/autograd.h"
#include "transfer/mode.h"
#include "transfer/proof.h"

namespace graft::transfer {
namespace {

bool cacheable(const nn::Module& block) {
  if (block.random()) return false;
  for (const TensorState& s : tensor_states(block))
    if (!s.frozen) return false;
  return true;
}

// keys[k]: of blocks 0 .. k on this data.
std::vector<uint64_t> prefix_keys(const nn::Chain& chain, int64_t cut, const io::Dataset& data, const Preprocessing& p) {
  std::string text = p.for_evaluation().str();
  // Another device rounds in another way.
  if (const auto all = chain.named_parameters(); !all.empty() && all[0].second.device() != Device{})
    text += fmt::format(" on {}", name(all[0].second.device().backend));
  uint64_t h = XXH3_64bits_withSeed(text.data(), text.size(), data.hash);
  std::vector<uint64_t> keys;
  for (int i = 0; i < cut; ++i) {
    h = XXH3_64bits_withSeed(chain.name(i).data(), chain.name(i).size(), h);
    const uint64_t weights = hash_weights(chain.block(i));
    h = XXH3_64bits_withSeed(&weights, sizeof weights, h);
    keys.push_back(h);
  }
  return keys;
}

// A file that has no name any more: gone when it is unmapped, however the process ends.
class UnnamedFile {
 public:
  explicit UnnamedFile(const std::filesystem::path& folder) : path_(folder / "activations-XXXXXX") {
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    std::string name = path_.string();
    descriptor_ = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) fail("cannot create");
    unlink(name.c_str());
  }
  ~UnnamedFile() { close(descriptor_); }
  UnnamedFile(const UnnamedFile&) = delete;

  // Not through the mapping: there a full disk is a signal, here it is an error.
  void append(const std::byte* p, size_t n) {
    while (n > 0) {
      const ssize_t k = write(descriptor_, p, n);
      if (k < 0 && errno == EINTR) continue;
      if (k <= 0) fail("cannot write");
      p += k;
      n -= size_t(k);
    }
  }
  std::shared_ptr<const std::byte> map(size_t n) {
    void* p = mmap(nullptr, n, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (p == MAP_FAILED) fail("cannot map");
    return {static_cast<const std::byte*>(p), [n](const std::byte* q) { munmap(const_cast<std::byte*>(q), n); }};
  }

 private:
  [[noreturn]] void fail(const char* what) { throw Error(fmt::format("{}: {}: {}", path_.string(), what, strerror(errno))); }
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace

int64_t cacheable_blocks(const nn::Chain& chain) {
  int n = 0;
  while (n < chain.size() && cacheable(chain.block(n))) ++n;
  return n;
}

uint64_t prefix_key(const nn::Chain& chain, int64_t cut, const io::Dataset& data, const Preprocessing& p) {
  check<ConfigError>(0 < cut && cut <= chain.size(), "prefix: {} blocks: expected 1 to {}", cut, chain.size());
  return prefix_keys(chain, cut, data, p).back();
}

Tensor Activations::make(int64_t rows) const {
  std::vector<int64_t> dims{rows};
  dims.insert(dims.end(), row_shape_.begin(), row_shape_.end());
  return Tensor::empty(Shape(dims), dtype_);
}

Tensor Activations::gather(std::span<const int64_t> items) const {
  Tensor x = make(int64_t(items.size()));
  std::byte* to = x.raw_bytes();
  for (int64_t i : items) {
    check<ShapeError>(0 <= i && i < items_, "activations: item {} of {}", i, items_);
    std::memcpy(to, data_.get() + size_t(i) * row_bytes(), row_bytes());
    to += row_bytes();
  }
  return x;
}

Tensor Activations::rows(int64_t begin, int64_t end) const {
  check<ShapeError>(0 <= begin && begin <= end && end <= items_, "activations: rows [{}, {}) of {}", begin, end, items_);
  Tensor x = make(end - begin);
  std::memcpy(x.raw(), data_.get() + size_t(begin) * row_bytes(), x.bytes());
  return x;
}

void Activations::check_fits(const nn::Chain& chain, const io::Dataset& data, const Preprocessing& p) const {
  check<ConfigError>(!p.augment.random(), "prefix cache: the augmentation is random, so no activation can be reused");
  check<ConfigError>(blocks_ <= cacheable_blocks(chain),
                     "prefix cache: {} blocks are cached, but only {} are frozen and not random", blocks_, cacheable_blocks(chain));
  check<ConfigError>(key_ == prefix_key(chain, blocks_, data, p),
                     "prefix cache: {}: the activations are of other weights, data or preprocessing", data.name);
}

struct PrefixCache::Impl {
  struct Entry {
    std::shared_ptr<Activations> value;  // null while it is computed
    size_t bytes;
    bool on_disk;
    uint64_t last_use;
  };
  CacheOptions options;
  mutable std::mutex mutex;
  std::condition_variable computed;
  std::unordered_map<uint64_t, Entry> entries;
  uint64_t clock = 0;
  CacheStats stats;

  size_t& used(bool on_disk) { return on_disk ? stats.disk : stats.memory; }

  void drop(std::unordered_map<uint64_t, Entry>::iterator e) {
    used(e->second.on_disk) -= e->second.bytes;
    entries.erase(e);
  }

  // Makes room by dropping what nobody holds.
  bool fit(size_t bytes, bool on_disk) {
    const size_t limit = on_disk ? options.disk_limit : options.memory_limit;
    if (bytes > limit) return false;
    while (used(on_disk) + bytes > limit) {
      auto oldest = entries.end();
      for (auto e = entries.begin(); e != entries.end(); ++e)
        if (e->second.on_disk == on_disk && e->second.value.use_count() == 1 &&
            (oldest == entries.end() || e->second.last_use < oldest->second.last_use))
          oldest = e;
      if (oldest == entries.end()) return false;
      drop(oldest);
    }
    return true;
  }
};

PrefixCache::PrefixCache(CacheOptions options) : impl_(std::make_unique<Impl>()) { impl_->options = std::move(options); }
PrefixCache::~PrefixCache() = default;

CacheStats PrefixCache::stats() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

std::shared_ptr<const Activations> PrefixCache::get(nn::Chain& chain, int64_t cut, const io::Dataset& data,
                                                    const Preprocessing& preprocessing) {
  check<ConfigError>(0 <= cut && cut <= chain.size(), "prefix cache: cut: expected 0 to {}, got {}", chain.size(), cut);
  check<ConfigError>(!preprocessing.augment.random(), "prefix cache: the augmentation is random, so no activation can be reused");
  cut = std::min(cut, cacheable_blocks(chain));
  if (cut == 0 || data.size() == 0) return nullptr;
  const std::vector<uint64_t> keys = prefix_keys(chain, cut, data, preprocessing);

  auto result = std::make_shared<Activations>();
  result->blocks_ = cut;
  result->items_ = data.size();
  result->key_ = keys.back();
  const Shape& image = data.images.shape();
  const Shape view = io::augmented_shape(preprocessing.augment, {image[1], image[2], image[3]});
  Shape shape{1, view[0], view[1], view[2]};
  for (int i = 0; i < cut; ++i) shape = chain.block(i).output_shape(shape);
  result->row_shape_ = Shape(std::span(shape.begin() + 1, shape.end()));
  const nn::NamedTensors parameters = chain.named_parameters();
  if (!parameters.empty()) result->dtype_ = parameters[0].second.dtype();
  const Device device = parameters.empty() ? Device{} : parameters[0].second.device();

  std::shared_ptr<const Activations> below;  // the same prefix, a few blocks shorter
  {
    std::unique_lock lock(impl_->mutex);
    for (;;) {
      const auto e = impl_->entries.find(keys.back());
      if (e == impl_->entries.end()) break;
      if (e->second.value) {
        e->second.last_use = ++impl_->clock;
        ++impl_->stats.reused;
        return e->second.value;
      }
      impl_->computed.wait(lock);
    }
    for (int64_t k = cut - 2; k >= 0 && !below; --k) {
      const auto e = impl_->entries.find(keys[size_t(k)]);
      if (e != impl_->entries.end()) below = e->second.value;
    }
    if (!impl_->fit(result->bytes(), false)) {
      if (impl_->options.folder.empty() || !impl_->fit(result->bytes(), true)) return nullptr;
      result->on_disk_ = true;
      ++impl_->stats.spilled;
    }
    impl_->used(result->on_disk_) += result->bytes();
    impl_->entries[keys.back()] = {nullptr, result->bytes(), result->on_disk_, ++impl_->clock};
    ++impl_->stats.computed;
  }

  try {
    NoGrad no_grad;
    EvalMode eval(chain);
    constexpr int64_t kBatch = 100;
    io::Loader loader(data, {.batch_size = kBatch,
                             .shuffle = false,
                             .last_batch = io::LastBatch::keep,
                             .normalization = preprocessing.normalization,
                             .augment = preprocessing.augment});
    std::unique_ptr<UnnamedFile> file;
    Tensor memory;
    if (result->on_disk_) file = std::make_unique<UnnamedFile>(impl_->options.folder);
    else memory = result->make(data.size());
    for (int64_t begin = 0, b = 0; begin < data.size(); begin += kBatch, ++b) {
      const int64_t end = std::min(begin + kBatch, data.size());
      const Tensor x = (below ? below->rows(begin, end) : loader.batch(b).x.to(result->dtype_)).to(device);
      const Tensor y = chain.forward(x, below ? int(below->blocks()) : 0, int(cut)).host();
      check<InternalError>(y.bytes() == size_t(end - begin) * result->row_bytes(), "prefix cache: expected rows of {}, got {}",
                           result->row_shape_, y.shape());
      if (file) file->append(y.raw_bytes(), y.bytes());
      else std::memcpy(memory.rows(begin, end).raw(), y.raw(), y.bytes());
    }
    if (file) result->data_ = file->map(result->bytes());
    else result->data_ = {std::make_shared<Tensor>(memory), memory.raw_bytes()};
  } catch (...) {
    std::lock_guard lock(impl_->mutex);
    impl_->drop(impl_->entries.find(keys.back()));
    impl_->computed.notify_all();
    throw;
  }
  std::lock_guard lock(impl_->mutex);
  impl_->entries[keys.back()].value = result;
  impl_->computed.notify_all();
  return result;
}

}  // namespace graft::transfer
