#include "io/datasets/dataset.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "kernels/common/philox.h"

namespace graft::io {
namespace {

uint64_t content_hash(const Tensor& images, const Tensor& labels) {
  const std::unique_ptr<XXH64_state_t, XXH_errorcode (*)(XXH64_state_t*)> state(XXH64_createState(), &XXH64_freeState);
  XXH64_reset(state.get(), 0);
  XXH64_update(state.get(), images.shape().begin(), size_t(images.rank()) * sizeof(int64_t));
  XXH64_update(state.get(), images.raw(), images.bytes());
  XXH64_update(state.get(), labels.raw(), labels.bytes());
  return XXH64_digest(state.get());
}

// The item numbers of each class, in data set order.
std::vector<std::vector<int64_t>> items_by_class(const Dataset& ds) {
  std::vector<std::vector<int64_t>> items(ds.classes.size());
  if (ds.size() == 0) return items;
  const int64_t* labels = ds.labels.data<int64_t>();
  for (int64_t i = 0; i < ds.size(); ++i) items[size_t(labels[i])].push_back(i);
  return items;
}

// Keeps `choose(items, class)` of each class; `choose` may reorder its argument.
template <class F>
Dataset choose_per_class(const Dataset& ds, int64_t n, F&& choose) {
  check<ConfigError>(n > 0, "{}: images per class: expected a positive number, got {}", ds.name, n);
  std::vector<int64_t> chosen;
  auto classes = items_by_class(ds);
  for (size_t c = 0; c < classes.size(); ++c) {
    auto& items = classes[c];
    check<ConfigError>(int64_t(items.size()) >= n, "{}: class {}: expected at least {} images, got {}", ds.name, ds.classes[c], n,
                       items.size());
    choose(items, c);
    chosen.insert(chosen.end(), items.begin(), items.begin() + n);
  }
  std::sort(chosen.begin(), chosen.end());
  return select_items(ds, chosen);
}

}  // namespace

std::vector<int64_t> Dataset::class_counts() const {
  std::vector<int64_t> counts(classes.size());
  for (size_t c = 0; const auto& items : items_by_class(*this)) counts[c++] = int64_t(items.size());
  return counts;
}

Dataset make_dataset(std::string name, Tensor images, Tensor labels, std::vector<std::string> classes, std::string_view where) {
  check<LoadError>(images.defined() && labels.defined(), "{}: {}: without images or labels", where, name);
  if (images.rank() == 3) images = images.view({images.size(0), images.size(1), images.size(2), 1});
  check<LoadError>(images.rank() == 4 && images.dtype() == DType::u8, "{}: images: expected u8 [N, H, W, C], got {} {}", where,
                   graft::name(images.dtype()), images.shape());
  if (labels.dtype() == DType::u8) labels = labels.to(DType::i64);
  check<LoadError>(labels.rank() == 1 && labels.dtype() == DType::i64, "{}: labels: expected one row, got {} {}", where,
                   graft::name(labels.dtype()), labels.shape());
  check<LoadError>(labels.size(0) == images.size(0), "{}: {} images, but {} labels", where, images.size(0), labels.size(0));
  check<LoadError>(!classes.empty(), "{}: no classes", where);
  for (int64_t i = 0; int64_t label : labels.span<int64_t>()) {
    check<LoadError>(label >= 0 && label < int64_t(classes.size()), "{}: item {}: label {} of {} classes", where, i, label,
                     classes.size());
    ++i;
  }
  const uint64_t hash = content_hash(images, labels);
  return {std::move(name), std::move(images), std::move(labels), std::move(classes), hash};
}

Dataset select_items(const Dataset& ds, std::span<const int64_t> items) {
  check<ConfigError>(!items.empty(), "{}: no items selected", ds.name);
  Shape shape = ds.images.shape();
  const int64_t size = shape.product(1, 4);
  shape.set(0, int64_t(items.size()));
  Tensor images = Tensor::empty(shape, DType::u8), labels = Tensor::empty({shape[0]}, DType::i64);
  for (int64_t i = 0; i < shape[0]; ++i) {
    const int64_t from = items[size_t(i)];
    check<ConfigError>(from >= 0 && from < ds.size(), "{}: item {} of {}", ds.name, from, ds.size());
    std::copy_n(ds.images.data<uint8_t>() + from * size, size, images.data<uint8_t>() + i * size);
    labels.data<int64_t>()[i] = ds.labels.data<int64_t>()[from];
  }
  Dataset chosen = make_dataset(ds.name, images, labels, ds.classes, ds.name);
  if (!ds.files.empty())
    for (const int64_t item : items) chosen.files.push_back(ds.files[size_t(item)]);
  return chosen;
}

Dataset select_classes(const Dataset& ds, std::span<const int64_t> classes) {
  std::vector<int64_t> relabelled(ds.classes.size(), -1);
  std::vector<std::string> names;
  for (int64_t c : classes) {
    check<ConfigError>(c >= 0 && c < int64_t(ds.classes.size()), "{}: class {} of {}", ds.name, c, ds.classes.size());
    check<ConfigError>(relabelled[size_t(c)] < 0, "{}: class {} is listed twice", ds.name, c);
    relabelled[size_t(c)] = int64_t(names.size());
    names.push_back(ds.classes[size_t(c)]);
  }
  std::vector<int64_t> items;
  for (int64_t i = 0; i < ds.size(); ++i)
    if (relabelled[size_t(ds.labels.data<int64_t>()[i])] >= 0) items.push_back(i);
  check<ConfigError>(!items.empty(), "{}: no images of the selected classes", ds.name);
  const Dataset chosen = select_items(ds, items);
  Tensor labels = chosen.labels.clone();
  for (int64_t& label : labels.span<int64_t>()) label = relabelled[size_t(label)];
  Dataset relabelled_items = make_dataset(ds.name, chosen.images, labels, names, ds.name);
  relabelled_items.files = chosen.files;
  return relabelled_items;
}

Dataset first_per_class(const Dataset& ds, int64_t n) {
  return choose_per_class(ds, n, [](auto&, size_t) {});
}

Dataset sample_per_class(const Dataset& ds, int64_t n, uint64_t key) {
  return choose_per_class(ds, n, [&](std::vector<int64_t>& items, size_t c) {
    // The head of a Fisher-Yates shuffle: its first m items do not depend on n.
    const Philox draws{stream_key(key, "sample"), c};
    for (size_t i = 0; i < size_t(n); ++i) std::swap(items[i], items[i + draws.below(i, items.size() - i)]);
  });
}

Dataset to_channels(const Dataset& ds, int64_t channels) {
  const Shape shape = ds.images.shape();
  if (shape[3] == channels) return ds;
  check<ConfigError>(shape[3] == 1 && channels > 0, "{}: {} channels cannot become {}: only grey is repeated", ds.name, shape[3],
                     channels);
  Tensor images = Tensor::empty({shape[0], shape[1], shape[2], channels}, DType::u8);
  uint8_t* out = images.data<uint8_t>();
  for (uint8_t grey : ds.images.span<uint8_t>()) out = std::fill_n(out, channels, grey);
  return make_dataset(ds.name, images, ds.labels, ds.classes, ds.name);
}

Dataset pad_to(const Dataset& ds, int64_t height, int64_t width) {
  const Shape shape = ds.images.shape();
  const int64_t h = shape[1], w = shape[2], c = shape[3];
  if (h == height && w == width) return ds;
  check<ConfigError>(height >= h && width >= w, "{}: images of {}x{} cannot be padded to {}x{}", ds.name, h, w, height, width);
  Tensor images = Tensor::zeros({shape[0], height, width, c}, DType::u8);
  const int64_t top = (height - h) / 2, left = (width - w) / 2;
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t y = 0; y < h; ++y)
      std::copy_n(ds.images.data<uint8_t>() + (i * h + y) * w * c, w * c,
                  images.data<uint8_t>() + ((i * height + top + y) * width + left) * c);
  return make_dataset(ds.name, images, ds.labels, ds.classes, ds.name);
}

ChannelStatistics channel_statistics(const Dataset& train) {
  check<ConfigError>(train.size() > 0, "{}: statistics of no images", train.name);
  const int64_t channels = train.images.size(3);
  std::vector<uint64_t> sum(size_t(channels), 0), squares(size_t(channels), 0);  // exact in integers
  for (int64_t c = 0; uint8_t p : train.images.span<uint8_t>()) {
    sum[size_t(c)] += p;
    squares[size_t(c)] += uint64_t{p} * p;
    c = c + 1 == channels ? 0 : c + 1;
  }
  const int64_t pixels = train.images.numel() / channels;
  const auto n = double(pixels);
  ChannelStatistics s;
  for (size_t c = 0; c < size_t(channels); ++c) {
    const double mean = double(sum[c]) / n, variance = std::max(0.0, double(squares[c]) / n - mean * mean);
    s.mean.push_back(mean / 255);
    s.stddev.push_back(std::sqrt(variance) / 255);
  }
  return s;
}

}  // namespace graft::io
