#include "io/datasets/loader.h"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "kernels/common/philox.h"

namespace graft::io {

namespace {

using Order = std::shared_ptr<const std::vector<int64_t>>;

std::vector<int64_t> permutation(int64_t n, uint64_t key, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  const Philox draws{stream_key(key, "order"), uint64_t(epoch)};
  for (size_t i = 0; i + 1 < size_t(n); ++i) std::swap(order[i], order[i + draws.below(i, size_t(n) - i)]);
  return order;
}

}  // namespace

// Workers take batch numbers in sequence and put results into `ready`; next() takes them out in sequence. `round` grows
// with every seek, so that a batch begun before it is thrown away.
struct Loader::State {
  Dataset dataset;
  LoaderOptions options;
  std::vector<float> table;
  int64_t per_epoch = 0;

  struct Result {
    Batch batch;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable wanted, arrived;
  std::map<int64_t, Result> ready;
  int64_t next = 0, claimed = 0, round = 0;
  bool stop = false;
  std::mutex order_mutex;
  std::map<int64_t, Order> orders;  // of the epochs in flight
  std::vector<std::thread> workers;

  State(Dataset ds, LoaderOptions o) : dataset(std::move(ds)), options(std::move(o)) {
    const std::string& name = dataset.name;
    check<ConfigError>(dataset.size() > 0, "loader: {}: no images", name);
    check<ConfigError>(dataset.size() < int64_t{1} << 32, "loader: {}: {} images, more than 32-bit draws can order", name,
                       dataset.size());
    check<ConfigError>(options.batch_size > 0, "loader: batch_size: expected a positive number, got {}", options.batch_size);
    check<ConfigError>(options.workers >= 0 && options.workers <= 256, "loader: workers: expected 0 to 256, got {}",
                       options.workers);
    check<ConfigError>(options.prefetch > 0, "loader: prefetch: expected a positive number, got {}", options.prefetch);
    validate(options.augment);
    table = options.normalization.table(dataset.images.size(3));
    const bool keep = options.last_batch == LastBatch::keep;
    per_epoch = (dataset.size() + (keep ? options.batch_size - 1 : 0)) / options.batch_size;
    check<ConfigError>(per_epoch > 0, "loader: {}: {} images are fewer than one batch of {}, and partial batches are dropped", name,
                       dataset.size(), options.batch_size);
    for (int i = 0; i < options.workers; ++i) workers.emplace_back([this] { work(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    wanted.notify_all();
    for (auto& worker : workers) worker.join();
  }

  Shape hwc() const {
    const Shape& s = dataset.images.shape();
    return {s[1], s[2], s[3]};
  }

  std::vector<int64_t> make_order(int64_t epoch) const {
    if (options.shuffle) return permutation(dataset.size(), options.key, epoch);
    std::vector<int64_t> order(static_cast<size_t>(dataset.size()));
    std::iota(order.begin(), order.end(), int64_t{0});
    return order;
  }

  Order order(int64_t epoch) {
    const int64_t id = options.shuffle ? epoch : 0;
    const std::lock_guard lock(order_mutex);
    Order& order = orders[id];
    if (!order) order = std::make_shared<const std::vector<int64_t>>(make_order(epoch));
    Order kept = order;
    if (orders.size() > 4) orders.erase(orders.begin()->first == id ? std::prev(orders.end()) : orders.begin());
    return kept;
  }

  Batch compute(int64_t number) {
    const int64_t epoch = number / per_epoch, index = number % per_epoch;
    const Order all = order(epoch);
    const int64_t begin = index * options.batch_size, end = std::min(dataset.size(), begin + options.batch_size);
    const Shape in = hwc(), shape = augmented_shape(options.augment, in);
    const int64_t n = end - begin;
    Batch batch{Tensor::empty({n, shape[0], shape[1], shape[2]}),
                Tensor::empty({n}, DType::i64),
                {all->begin() + begin, all->begin() + end},
                epoch,
                index};
    std::vector<uint8_t> scratch;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t item = batch.items[size_t(i)];
      augment_item(options.augment, dataset.images.data<uint8_t>() + item * in.numel(), in, table, options.key, uint64_t(epoch),
                   uint64_t(item), scratch, batch.x.data<float>() + i * shape.numel());
      batch.labels.data<int64_t>()[i] = dataset.labels.data<int64_t>()[item];
    }
    return batch;
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wanted.wait(lock, [&] { return stop || claimed < next + options.prefetch; });
      if (stop) return;
      const int64_t number = claimed++, begun = round;
      lock.unlock();
      Result result;
      try {
        result.batch = compute(number);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      if (begun == round) ready.emplace(number, std::move(result));
      arrived.notify_all();
    }
  }

  Batch take() {
    if (workers.empty()) {
      Batch batch = compute(next);
      ++next;
      return batch;
    }
    std::unique_lock lock(mutex);
    arrived.wait(lock, [&] { return ready.contains(next); });
    auto node = ready.extract(next);
    if (node.mapped().error) {  // stays there: a second call reports the same fault
      const auto error = node.mapped().error;
      ready.insert(std::move(node));
      std::rethrow_exception(error);
    }
    ++next;
    lock.unlock();
    wanted.notify_one();
    return std::move(node.mapped().batch);
  }
};

Loader::Loader(Dataset dataset, LoaderOptions options) : state_(std::make_unique<State>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;

int64_t Loader::batches_per_epoch() const { return state_->per_epoch; }
Shape Loader::item_shape() const { return augmented_shape(state_->options.augment, state_->hwc()); }
bool Loader::random() const { return state_->options.augment.random(); }
const Dataset& Loader::dataset() const { return state_->dataset; }
Batch Loader::next() { return state_->take(); }
Batch Loader::batch(int64_t number) const { return state_->compute(number); }
std::vector<int64_t> Loader::order(int64_t epoch) const { return state_->make_order(epoch); }

void Loader::seek(int64_t batch) {
  check<ConfigError>(batch >= 0, "loader: seek: expected a batch number from 0, got {}", batch);
  {
    const std::lock_guard lock(state_->mutex);
    state_->next = state_->claimed = batch;
    ++state_->round;
    state_->ready.clear();
  }
  state_->wanted.notify_all();
}

}  // namespace graft::io
