// Which cell to run next: sources before those that take from them, longest chains first.
#pragma once
#include <optional>
#include <vector>

#include "transfer/study/cell.h"

namespace graft::study {

class Schedule {
 public:
  // `todo`: indices into cells, one per key; a source that is not among them is taken as done. `cost` as cells.
  Schedule(const std::vector<Cell>& cells, const std::vector<size_t>& todo, const std::vector<double>& cost);

  std::optional<size_t> take();          // none when nothing is ready now
  void finish(size_t cell);              // those that take from it become ready
  size_t left() const { return left_; }  // not yet finished

 private:
  struct Item {
    size_t cell;
    double priority;                 // cost of the longest chain that begins here
    std::vector<size_t> dependents;  // items
    bool ready, taken = false;
  };
  std::vector<Item> items_;  // by falling priority
  size_t left_ = 0;
};

// Seconds until the last cell ends with so many jobs, when cells take `cost` seconds.
double makespan(const std::vector<Cell>& cells, const std::vector<size_t>& todo, const std::vector<double>& cost, int jobs);

}  // namespace graft::study
