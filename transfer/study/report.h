// The report of a study, made from its results alone: terminal, HTML, figures, CSV and JSON.
#pragma once
#include "transfer/study/results.h"

namespace graft::study {

struct ReportFiles {
  std::filesystem::path html, csv, json;
  std::vector<std::filesystem::path> figures;  // PNG and SVG, one pair per figure
};

// report.html (self-contained), cells.csv, report.json and figures/ in `folder`; each file is replaced atomically. Where
// gnuplot is absent, the report says so and has no figures. Error: a file cannot be written.
ReportFiles write_report(const StudyResults&, const std::filesystem::path& folder);

// Tables of the accuracies and of the decomposition per cut, a plot, and the verdicts.
std::string terminal_report(const StudyResults&, bool colour);

void write_csv(const StudyResults&, const std::filesystem::path& file);

}  // namespace graft::study
