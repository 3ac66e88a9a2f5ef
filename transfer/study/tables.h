// The numbers of a report as tables: the same rows for the terminal and for HTML.
#pragma once
#include "transfer/study/results.h"

namespace graft::study {

struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

std::vector<Selection> selections(const StudyResults&);
std::string title(const Selection&, const StudyResults&);  // "random split, 300 images a class"
// The quantity `name` at `cut`, or null.
const Quantity* find(const StudyResults&, const Selection&, std::string_view name, int64_t cut);

Table accuracies(const StudyResults&, const Selection&);     // a row per condition, a column per cut; percent
Table decomposition(const StudyResults&, const Selection&);  // co-adaptation, specificity, ...; percentage points
Table verdicts(const StudyResults&);
Table cells(const StudyResults&);
Table facts(const StudyResults&);  // configuration, target, commit, savings

std::string to_text(const Table&);
std::string to_html(const Table&);
std::string escape_html(std::string_view);

}  // namespace graft::study
