#include "transfer/study/grid.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/common/nearest_name.h"
#include "kernels/common/philox.h"
#include "nn/models/models.h"
#include "transfer/study/key.h"

namespace graft::study {

std::pair<std::vector<int64_t>, std::vector<int64_t>> random_halves(int64_t classes, int64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  const Philox stream{stream_key(uint64_t(seed), "split"), 0};
  for (int64_t i = classes - 1; i > 0; --i) std::swap(order[size_t(i)], order[stream.below(uint64_t(i), uint64_t(i + 1))]);
  std::pair<std::vector<int64_t>, std::vector<int64_t>> halves;
  halves.first.assign(order.begin(), order.begin() + classes / 2);
  halves.second.assign(order.begin() + classes / 2, order.end());
  std::ranges::sort(halves.first);
  std::ranges::sort(halves.second);
  return halves;
}

namespace {

std::vector<int64_t> class_indices(const SplitConfig& s, const std::vector<std::string>& names, const io::Dataset& data) {
  std::vector<int64_t> indices;
  for (const std::string& n : names) {
    const auto found = std::ranges::find(data.classes, n);
    if (found == data.classes.end()) {
      const std::string near = nearest_name(n, data.classes);
      throw ConfigError(fmt::format("split '{}': {} has no class '{}'{}", s.name, data.name, n,
                                    near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)));
    }
    indices.push_back(found - data.classes.begin());
  }
  std::ranges::sort(indices);
  return indices;
}

Shape image_shape(const io::Dataset& d) { return {d.images.size(1), d.images.size(2), d.images.size(3)}; }

}  // namespace

Grid::Grid(StudyConfig config, const DataProvider& provider) : config_(std::move(config)) {
  const Source& target = load(config_.data, provider);
  input_ = image_shape(target.splits.train);
  const int64_t classes = int64_t(target.splits.train.classes.size());
  check<ConfigError>(classes >= 4, "data: {}: expected four classes or more to halve, got {}", config_.data, classes);
  resolve_cuts();
  for (const SplitConfig& s : config_.splits) {
    if (!s.source.empty()) load(s.source, provider);
    add_split(s);
  }
  std::set<std::string> sources;
  for (const Cell& c : cells_) sources.insert(c.source_key);
  for (Cell& c : cells_) c.shared = sources.contains(c.key);
  made_.resize(specs_.size());
}

Grid::Source& Grid::load(const std::string& name, const DataProvider& provider) {
  if (const auto known = sources_.find(name); known != sources_.end()) return known->second;
  Source s{provider ? provider(name) : io::load_splits(name), {}};
  for (const io::Dataset* d : {&s.splits.train, &s.splits.test})
    check<ConfigError>(d->size() > 0, "data: {} has no {} images", name, d == &s.splits.train ? "training" : "test");
  check<ConfigError>(s.splits.train.classes.size() == s.splits.test.classes.size(),
                     "data: {}: the training images have {} classes, the test images {}", name, s.splits.train.classes.size(),
                     s.splits.test.classes.size());
  if (input_.rank())  // a source takes the size of the target
    for (io::Dataset* d : {&s.splits.train, &s.splits.test}) *d = io::pad_to(io::to_channels(*d, input_[2]), input_[0], input_[1]);
  // Of all training images, so that both halves and every seed see the same pixels.
  const io::ChannelStatistics statistics = io::channel_statistics(s.splits.train);
  s.preprocessing = config_.train.preprocessing;
  s.preprocessing.normalization = {statistics.mean, statistics.stddev};
  return sources_.emplace(name, std::move(s)).first->second;
}

void Grid::resolve_cuts() {
  const auto network = nn::make_model({config_.model, input_, 2});
  for (int i = 0; i < network->size(); ++i) blocks_.push_back(network->name(i));
  const int64_t last = network->size() - 1;  // the last block is the classifier: never transferred
  for (const auto& cut : config_.cuts) {
    const int64_t n =
        std::holds_alternative<int64_t>(cut) ? std::get<int64_t>(cut) : network->index(std::get<std::string>(cut)) + 1;
    check<ConfigError>(n >= 1 && n <= last, "grid.cuts: {} has cuts 1 to {} (after {} to {}), got {}", config_.model, last,
                       blocks_.front(), blocks_[size_t(last - 1)], n);
    cuts_.push_back(n);
  }
  if (config_.cuts.empty())
    for (int64_t n = 1; n <= last; ++n) cuts_.push_back(n);
  std::ranges::sort(cuts_);
  check<ConfigError>(std::ranges::adjacent_find(cuts_) == cuts_.end(), "grid.cuts: a cut is given twice");
  for (const CriterionConfig& k : config_.criteria) {
    for (int64_t n : k.cuts)
      check<ConfigError>(n == 0 || std::ranges::count(cuts_, n), "criterion '{}': cut {} is not in the grid", k.name, n);
    check<ConfigError>(!k.images_per_class || k.images_per_class == config_.images_per_class ||
                           std::ranges::count(config_.target_images_per_class, k.images_per_class),
                       "criterion '{}': the grid has no cells of {} images a class", k.name, k.images_per_class);
    check<ConfigError>(!k.keep || std::ranges::count(config_.keep, k.keep), "criterion '{}': the grid has no keep = {}", k.name,
                       k.keep);
  }
}

const std::string& Grid::add(CellLabel label, DataSpec spec, const std::string& source_key) {
  const Source& source = sources_.at(spec.name);
  Cell cell;
  cell.identity = identity(config_, label, spec, source.splits, source.preprocessing, input_, source_key);
  cell.key = hash_text(cell.identity);
  cell.label = std::move(label);
  cell.source_key = source_key;
  const auto known = std::ranges::find(specs_, spec);
  cell.data = int(known - specs_.begin());
  if (known == specs_.end()) {
    if (spec.images_per_class) {
      const auto counts = source.splits.train.class_counts();
      for (int64_t k : spec.classes)
        check<ConfigError>(counts[size_t(k)] >= spec.images_per_class,
                           "images_per_class: {}: class '{}' has {} training images, not {}", spec.name,
                           source.splits.train.classes[size_t(k)], counts[size_t(k)], spec.images_per_class);
    }
    specs_.push_back(std::move(spec));
  }
  cells_.push_back(std::move(cell));
  return cells_.back().key;
}

// Table order: number of images, condition, cut, keep, seed, half.
void Grid::add_split(const SplitConfig& s) {
  const io::Dataset& all = sources_.at(config_.data).splits.train;
  struct Target {
    CellLabel label;
    DataSpec spec;
    std::string own, other;  // keys of the networks that BnB and AnB take from
  };
  std::vector<Target> targets;
  for (int64_t seed = 0; seed < config_.seeds; ++seed) {
    auto halves = s.kind == SplitConfig::Kind::listed ? std::pair(class_indices(s, s.a, all), class_indices(s, s.b, all))
                                                      : random_halves(int64_t(all.classes.size()), seed);
    for (const char* half : {"A", "B"}) {
      Target t;
      t.label.target = config_.data;
      t.label.partition = s.name;
      t.label.half = half;
      t.label.seed = seed;
      t.spec = {config_.data, *half == 'A' ? halves.first : halves.second, 0, seed};
      targets.push_back(std::move(t));
    }
  }

  std::vector<int64_t> sizes = {config_.images_per_class};
  sizes.insert(sizes.end(), config_.target_images_per_class.begin(), config_.target_images_per_class.end());
  const auto sized = [](Target t, int64_t images) {
    t.label.images_per_class = t.spec.images_per_class = images;
    return t;
  };

  for (Target& t : targets) t.own = add(sized(t, sizes[0]).label, sized(t, sizes[0]).spec);
  for (size_t i = 0; i < targets.size(); i += 2) {
    Target &a = targets[i], &b = targets[i + 1];
    if (s.kind == SplitConfig::Kind::source) {
      const io::Dataset& d = sources_.at(s.source).splits.train;
      Target source = sized(a, s.source_images_per_class ? s.source_images_per_class : sizes[0]);
      source.label.target = source.spec.name = s.source;
      source.label.half = "S";
      source.spec.classes.resize(d.classes.size());
      std::iota(source.spec.classes.begin(), source.spec.classes.end(), 0);
      a.other = b.other = add(source.label, source.spec);
    } else {
      a.other = b.own;
      b.other = a.own;
    }
  }

  const std::string& source_name = s.kind == SplitConfig::Kind::source ? s.source : config_.data;
  for (int64_t images : sizes) {
    if (images != sizes[0])
      for (const Target& t : targets) add(sized(t, images).label, sized(t, images).spec);
    for (Condition condition : s.conditions) {
      if (condition == Condition::base) continue;
      const bool own = condition == Condition::BnB || condition == Condition::BnBplus;
      for (int64_t cut : has_cut(condition) ? cuts_ : std::vector<int64_t>{0})
        for (int64_t keep : config_.keep) {
          // With nothing frozen, keep = k is the cut k blocks higher; random and absent blocks have nothing to keep.
          if (keep && !(is_frozen(condition) && has_source(condition))) continue;
          if (keep && cut + keep >= int64_t(blocks_.size())) continue;
          for (const Target& target : targets) {
            Target t = sized(target, images);
            t.label.condition = condition;
            t.label.cut = cut;
            t.label.keep = keep;
            if (has_source(condition)) t.label.source = own ? config_.data : source_name;
            add(t.label, t.spec, !has_source(condition) ? "" : own ? t.own : t.other);
          }
        }
    }
  }
}

std::shared_ptr<const CellData> Grid::data(const Cell& c) {
  std::lock_guard lock(mutex_);
  if (auto made = made_[size_t(c.data)].lock()) return made;
  const DataSpec& spec = specs_[size_t(c.data)];
  const Source& source = sources_.at(spec.name);
  auto d = std::make_shared<CellData>();
  d->train = io::select_classes(source.splits.train, spec.classes);
  if (spec.images_per_class)
    d->train = io::sample_per_class(d->train, spec.images_per_class, stream_key(uint64_t(spec.seed), "images"));
  d->test = io::select_classes(source.splits.test, spec.classes);
  d->preprocessing = source.preprocessing;
  made_[size_t(c.data)] = d;
  return d;
}

namespace {
int64_t count(const io::Dataset& d, const std::vector<int64_t>& classes) {
  const auto counts = d.class_counts();
  int64_t n = 0;
  for (int64_t k : classes) n += counts[size_t(k)];
  return n;
}
}  // namespace

int64_t Grid::train_images(const Cell& c) const {
  const DataSpec& s = specs_[size_t(c.data)];
  return s.images_per_class ? s.images_per_class * int64_t(s.classes.size()) : count(sources_.at(s.name).splits.train, s.classes);
}

int64_t Grid::test_images(const Cell& c) const {
  const DataSpec& s = specs_[size_t(c.data)];
  return count(sources_.at(s.name).splits.test, s.classes);
}

std::vector<size_t> Grid::unique() const {
  std::set<std::string> seen;
  std::vector<size_t> order;
  for (size_t i = 0; i < cells_.size(); ++i)
    if (seen.insert(cells_[i].key).second) order.push_back(i);
  std::ranges::stable_partition(order, [&](size_t i) { return cells_[i].source_key.empty(); });
  return order;
}

}  // namespace graft::study
