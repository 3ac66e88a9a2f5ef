// The results of a study: one SQLite file, committed cell by cell, and beside it the weights of the shared base networks.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "transfer/study/cell.h"

struct sqlite3;

namespace graft::study {

// One row of the table of results.
struct Row {
  CellLabel label;
  std::string key;
  CellResult result;
  std::string identity;  // what the key is the hash of
  std::string source_key;
  std::string commit, finished;  // of the program; UTC, ISO 8601
  std::string weights_file;      // of a shared network, relative to the folder; else empty
};

class Store {
 public:
  enum class Mode { write, read };
  // The folder `out` and the file study.sqlite in it; `write` makes them where they are absent, and takes the lock of the
  // folder for this process. ConfigError: the folder cannot be made, or another process has the lock, or (read) there is
  // no store. LoadError: the file is no store of Graft, is damaged, or is of a newer version; it is left as it is.
  Store(const std::filesystem::path& out, Mode);
  ~Store();
  Store(const Store&) = delete;

  const std::filesystem::path& folder() const { return folder_; }

  // Facts about the whole study: config, seeds, target, kernel version, commit, predicted times.
  void set_meta(const std::map<std::string, std::string>&);
  std::map<std::string, std::string> meta() const;

  // The cells that the study has, replacing what was planned; results are kept by key, so a grown grid runs new cells only.
  void plan(const std::vector<std::pair<CellLabel, std::string>>&);  // label and key
  std::vector<std::pair<CellLabel, std::string>> planned() const;    // label and key, in the order of the grid

  void commit(const Row&);           // one transaction; Error when the disk is full: the cell is not recorded then
  std::vector<Row> rows() const;     // of planned cells that have a result, in the order of the grid
  std::vector<Row> results() const;  // one per key, planned or not, by key
  std::optional<Row> result(const std::string& key) const;

  // Tests: called with the name of every step of a commit.
  std::function<void(std::string_view)> on_step;

 private:
  void execute(const char* sql) const;
  void open(Mode);
  void step(std::string_view name) const {
    if (on_step) on_step(name);
  }

  std::filesystem::path folder_;
  sqlite3* db_ = nullptr;
  int lock_ = -1;
};

// Columns condition, cut, keep, source, target, partition, half, seed, images_per_class, status, accuracy, loss, epochs,
// seconds; a header line; numbers as short as they read back exactly.
std::string to_csv(const std::vector<Row>&);

}  // namespace graft::study
