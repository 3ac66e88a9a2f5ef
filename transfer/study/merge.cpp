#include "transfer/study/merge.h"

#include <algorithm>
#include <set>

#include "io/atomic_file.h"
#include "io/file.h"

namespace graft::study {

namespace {

using Facts = std::map<std::string, std::string>;

std::string fact(const Facts& facts, const char* name) {
  const auto found = facts.find(name);
  return found == facts.end() ? "?" : found->second;
}

// What must agree, the most telling first.
void check_same_study(const std::filesystem::path& a, const Store& first, const std::filesystem::path& b, const Store& other) {
  const Facts x = first.meta(), y = other.meta();
  for (const auto& [name, what] : {std::pair{"target", "instruction-set targets"}, std::pair{"kernel_version", "kernel versions"},
                                   std::pair{"seeds", "numbers of seeds"}})
    check<ConfigError>(fact(x, name) == fact(y, name), "merge: {} and {} are of different {}: {} and {}", a.string(), b.string(),
                       what, fact(x, name), fact(y, name));
  check<ConfigError>(first.planned() == other.planned(),
                     "merge: {} and {} have different cells (another configuration or other data)", a.string(), b.string());
}

bool same_numbers(const CellResult& a, const CellResult& b) {
  return a.status == b.status && a.accuracy == b.accuracy && a.loss == b.loss && a.epochs == b.epochs &&
         a.weights_hash == b.weights_hash;
}

}  // namespace

MergeSummary merge_stores(std::span<const std::filesystem::path> from, const std::filesystem::path& out) {
  check<ConfigError>(!from.empty(), "merge: expected one folder or more to join");
  MergeSummary summary{int64_t(from.size()), 0, 0, 0};
  std::vector<std::unique_ptr<Store>> stores;
  for (const auto& folder : from) stores.push_back(std::make_unique<Store>(folder, Store::Mode::read));
  const bool fresh = !std::filesystem::exists(out / "study.sqlite");
  std::map<std::string, std::pair<Row, std::filesystem::path>> joined;  // with the folder of its weights
  const auto collect = [&](const Store& store) {
    for (const Row& row : store.rows()) {
      const auto [known, added] = joined.try_emplace(row.key, row, store.folder());
      check<ConfigError>(added || same_numbers(known->second.first.result, row.result),
                         "merge: {} and {} have different numbers for {}", known->second.second.string(), store.folder().string(),
                         row.label.str());
    }
  };
  for (const auto& store : stores) {
    check_same_study(from.front(), *stores.front(), store->folder(), *store);
    collect(*store);
  }
  std::set<std::string> present;
  if (!fresh) {
    const Store existing(out, Store::Mode::read);
    check_same_study(from.front(), *stores.front(), out, existing);
    collect(existing);
    for (const Row& row : existing.results()) present.insert(row.key);
  }

  Store target(out, Store::Mode::write);
  if (fresh) {
    target.plan(stores.front()->planned());
    target.set_meta(stores.front()->meta());
  }
  for (const auto& [key, entry] : joined) {
    const auto& [row, folder] = entry;
    if (present.contains(key)) {
      ++summary.shared;
      continue;
    }
    if (!row.weights_file.empty()) {
      std::filesystem::create_directories((out / row.weights_file).parent_path());
      const auto bytes = io::read_file(folder / row.weights_file);
      io::AtomicFile copy(out / row.weights_file);
      copy.write(bytes);
      copy.commit();
    }
    target.commit(row);
    ++summary.added;
  }
  std::set<std::string> keys;
  for (const auto& [label, key] : stores.front()->planned()) keys.insert(key);
  summary.missing = int64_t(keys.size() - joined.size());
  return summary;
}

}  // namespace graft::study
