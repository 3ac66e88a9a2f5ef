// What a study found, for reports: rebuilt from its store alone.
#pragma once
#include "transfer/study/criteria.h"

namespace graft::study {

struct StudyResults {
  StudyConfig config;
  std::map<std::string, std::string> meta;  // target, kernel_version, commit, jobs, predicted and measured saving, ...
  std::vector<int64_t> cuts;
  std::vector<std::string> blocks;          // names, in order
  int64_t planned = 0;                      // cells of the grid; rows.size() of them have a result
  std::vector<Row> rows;
  std::vector<Quantity> quantities;
  std::vector<Verdict> verdicts;
};

StudyResults load_results(const std::filesystem::path& out);  // ConfigError, LoadError as Store

}  // namespace graft::study
