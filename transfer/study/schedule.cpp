#include "transfer/study/schedule.h"

#include <algorithm>
#include <map>
#include <queue>

namespace graft::study {

Schedule::Schedule(const std::vector<Cell>& cells, const std::vector<size_t>& todo, const std::vector<double>& cost)
    : left_(todo.size()) {
  std::map<std::string, double> chain;  // cost of the dearest cell that takes from this key
  for (size_t i : todo)
    if (!cells[i].source_key.empty()) chain[cells[i].source_key] = std::max(chain[cells[i].source_key], cost[i]);
  for (size_t i : todo) {
    const auto dependents = chain.find(cells[i].key);
    items_.push_back({i, cost[i] + (dependents == chain.end() ? 0 : dependents->second), {}, true});
  }
  std::ranges::stable_sort(items_, std::greater<>{}, &Item::priority);
  std::map<std::string, size_t> by_key;
  for (size_t k = 0; k < items_.size(); ++k) by_key[cells[items_[k].cell].key] = k;
  for (size_t k = 0; k < items_.size(); ++k)
    if (const auto source = by_key.find(cells[items_[k].cell].source_key); source != by_key.end()) {
      items_[source->second].dependents.push_back(k);
      items_[k].ready = false;
    }
}

std::optional<size_t> Schedule::take() {
  const auto next = std::ranges::find_if(items_, [](const Item& i) { return i.ready && !i.taken; });
  if (next == items_.end()) return {};
  next->taken = true;
  return next->cell;
}

void Schedule::finish(size_t cell) {
  const auto done = std::ranges::find(items_, cell, &Item::cell);
  for (size_t k : done->dependents) items_[k].ready = true;
  --left_;
}

double makespan(const std::vector<Cell>& cells, const std::vector<size_t>& todo, const std::vector<double>& cost, int jobs) {
  Schedule schedule(cells, todo, cost);
  using Event = std::pair<double, size_t>;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> running;
  double now = 0;
  while (schedule.left()) {
    while (int(running.size()) < jobs) {
      const auto next = schedule.take();
      if (!next) break;
      running.emplace(now + cost[*next], *next);
    }
    now = running.top().first;
    schedule.finish(running.top().second);
    running.pop();
  }
  return now;
}

}  // namespace graft::study
