// The grid of a study: from a configuration to its cells and the images of each.
#pragma once
#include <map>
#include <mutex>

#include "transfer/study/cell.h"

namespace graft::study {

// Where data sets come from: io::load_splits, or a function of a test.
using DataProvider = std::function<io::Splits(const std::string& name)>;

// Which classes of which data set, drawn by which seed, at which number of images a class.
struct DataSpec {
  std::string name;
  std::vector<int64_t> classes;
  int64_t images_per_class = 0;
  int64_t seed = 0;
  auto operator<=>(const DataSpec&) const = default;
};

class Grid {
 public:
  // Loads the data sets, checks the configuration against them and the model (ConfigError), and names every cell.
  Grid(StudyConfig, const DataProvider&);

  const StudyConfig& config() const { return config_; }
  const std::vector<Cell>& cells() const { return cells_; }  // in the order of tables; every key has a first cell
  const std::vector<int64_t>& cuts() const { return cuts_; }
  const std::vector<std::string>& blocks() const { return blocks_; }
  const Shape& input() const { return input_; }  // [H, W, C]

  // Images of a cell; made on first use, thread-safe, kept while anybody holds them.
  std::shared_ptr<const CellData> data(const Cell&);
  int64_t train_images(const Cell&) const;
  int64_t test_images(const Cell&) const;
  int64_t classes(const Cell& c) const { return int64_t(specs_[size_t(c.data)].classes.size()); }

  // Indices of the cells that are run: the first one of every key, sources before those that take from them.
  std::vector<size_t> unique() const;

 private:
  struct Source {  // a loaded data set, at the size that the network takes
    io::Splits splits;
    transfer::Preprocessing preprocessing;
  };
  Source& load(const std::string& name, const DataProvider&);
  void resolve_cuts();
  const std::string& add(CellLabel, DataSpec, const std::string& source_key = {});  // returns the key
  void add_split(const SplitConfig&);

  StudyConfig config_;
  Shape input_;
  std::vector<std::string> blocks_;
  std::vector<int64_t> cuts_;
  std::map<std::string, Source> sources_;
  std::vector<DataSpec> specs_;
  std::vector<Cell> cells_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<const CellData>> made_;
};

// Classes of half A and half B, each ascending: a permutation drawn by the stream (seed, "split"), cut in the middle.
std::pair<std::vector<int64_t>, std::vector<int64_t>> random_halves(int64_t classes, int64_t seed);

}  // namespace graft::study
