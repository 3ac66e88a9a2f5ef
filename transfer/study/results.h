// What a study found, for reports: rebuilt from its store alone.
#pragma once
#include "transfer/study/criteria.h"

namespace graft::study {

struct StudyResults {
  StudyConfig config;
  std::map<std::string, std::string> meta;  // target, kernel_version, commit, jobs, predicted and measured saving, ...
  std::vector<int64_t> cuts;
  std::vector<std::string> blocks;  // names, in order
  int64_t planned = 0;              // cells of the grid; rows.size() of them have a result
  std::vector<Row> rows;
  std::vector<Quantity> quantities;
  std::vector<Verdict> verdicts;
  // Of the seconds that the cells take one after another without the prefix cache, the fraction that it saves: predicted
  // before the run; and measured, from the time the prefixes took once and the epochs that read them. NaN if unknown.
  double predicted_saving = 0, measured_saving = 0;
};

StudyResults load_results(const std::filesystem::path& out);  // ConfigError, LoadError as Store

}  // namespace graft::study
