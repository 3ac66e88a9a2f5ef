#include "transfer/study/report.h"

#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/report/gnuplot.h"
#include "kernels/common/error.h"
#include "transfer/study/figure.h"
#include "transfer/study/tables.h"

namespace graft::study {
namespace {

using nlohmann::ordered_json;

std::string file_name(const Selection& s) {
  std::string name = s.partition;
  for (char& c : name)
    if (!std::isalnum(uint8_t(c)) && c != '-') c = '_';
  if (s.images_per_class) name += fmt::format("_{}", s.images_per_class);
  if (s.keep) name += fmt::format("_keep{}", s.keep);
  return name;
}

ordered_json json_number(double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(nullptr); }

std::string to_json(const StudyResults& r) {
  ordered_json j{{"name", r.config.name}, {"model", r.config.model}, {"data", r.config.data},
                 {"cuts", r.cuts},        {"blocks", r.blocks},      {"planned", r.planned}};
  for (const auto& [key, value] : r.meta) j["meta"][key] = value;
  j["prefix_cache"] = {{"predicted_saving", json_number(r.predicted_saving)}, {"measured_saving", json_number(r.measured_saving)}};
  for (const Quantity& q : r.quantities) {
    ordered_json one{{"quantity", q.name},
                     {"partition", q.selection.partition},
                     {"images_per_class", q.selection.images_per_class},
                     {"keep", q.selection.keep},
                     {"cut", q.cut},
                     {"mean", json_number(q.summary.mean)},
                     {"seeds", q.summary.seeds},
                     {"positive", q.summary.positive},
                     {"negative", q.summary.negative},
                     {"missing", q.missing}};
    if (q.summary.half_width) one["half_width_95"] = *q.summary.half_width;
    for (const Point& p : q.points) one["points"].push_back({{"seed", p.seed}, {"half", p.half}, {"value", p.value}});
    j["quantities"].push_back(std::move(one));
  }
  for (const Verdict& v : r.verdicts)
    j["criteria"].push_back({{"criterion", v.criterion},
                             {"measured", v.measured},
                             {"needed", v.needed},
                             {"verdict", name(v.judgement)},
                             {"reason", v.reason},
                             {"value", json_number(v.value)}});
  for (const Row& row : r.rows) {
    ordered_json c{{"condition", name(row.label.condition)},
                   {"cut", row.label.cut},
                   {"keep", row.label.keep},
                   {"source", row.label.source},
                   {"target", row.label.target},
                   {"partition", row.label.partition},
                   {"half", row.label.half},
                   {"seed", row.label.seed},
                   {"images_per_class", row.label.images_per_class},
                   {"status", row.result.status},
                   {"epochs", row.result.epochs},
                   {"seconds", row.result.seconds},
                   {"weights_hash", row.result.weights_hash},
                   {"commit", row.commit},
                   {"finished", row.finished},
                   {"key", row.key}};
    if (row.result.accuracy) c["accuracy"] = *row.result.accuracy;
    if (row.result.loss) c["loss"] = json_number(*row.result.loss);
    j["cells"].push_back(std::move(c));
  }
  return j.dump(1) + "\n";
}

constexpr const char* kStyle =
    "body{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:2px 9px;border-bottom:1px solid #ddd;text-align:right;"
    "white-space:nowrap}td:first-child,th:first-child{text-align:left}.scroll{overflow-x:auto;max-height:640px;overflow-y:auto}"
    "pre{background:#f6f6f6;padding:1em;overflow-x:auto}svg{max-width:100%;height:auto}";

}  // namespace

void write_csv(const StudyResults& r, const std::filesystem::path& file) { io::write_file(file, to_csv(r.rows)); }

std::string terminal_report(const StudyResults& r, bool colour) {
  std::string text;
  for (const Selection& s : selections(r)) {
    text += to_text(accuracies(r, s)) + "\n";
    if (const Table d = decomposition(r, s); !d.rows.empty()) text += to_text(d) + "\n";
    if (io::have_gnuplot()) text += draw_figure(r, s, colour ? FigureFormat::colour_text : FigureFormat::text) + "\n";
  }
  if (!r.verdicts.empty()) text += to_text(verdicts(r)) + "\n";
  return text;
}

ReportFiles write_report(const StudyResults& r, const std::filesystem::path& folder) {
  ReportFiles files{folder / "report.html", folder / "cells.csv", folder / "report.json", {}};
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head><body>\n"
      "<h1>{0}</h1>\n<p>What does a network know that another task can use, and at which layer does that stop? "
      "B is the half of the classes that is trained and tested on; the first n layers come from B itself (BnB), from the other "
      "half or another data set (AnB), or are random (RnB), frozen or (+) fine-tuned. Halves are averaged within a seed; "
      "± is the 95 % t-interval over seeds, given from 3 seeds on.</p>\n",
      escape_html(r.config.name), kStyle);
  if (!r.verdicts.empty()) html += to_html(verdicts(r));
  std::error_code ignored;
  std::filesystem::create_directories(folder / "figures", ignored);
  for (const Selection& s : selections(r)) {
    if (io::have_gnuplot()) {
      for (const auto& [format, extension] : {std::pair{FigureFormat::svg, ".svg"}, std::pair{FigureFormat::png, ".png"}}) {
        const std::string picture = draw_figure(r, s, format);
        files.figures.push_back(folder / "figures" / (file_name(s) + extension));
        io::write_file(files.figures.back(), picture);
        if (format == FigureFormat::svg) html += "<figure>" + picture.substr(picture.find("<svg")) + "</figure>\n";
      }
    } else {
      html += "<p>No figure: gnuplot is not installed.</p>\n";
    }
    html += to_html(accuracies(r, s));
    if (const Table d = decomposition(r, s); !d.rows.empty()) html += to_html(d);
  }
  html += to_html(facts(r)) + to_html(cells(r));
  for (const Row& row : r.rows)
    if (!row.result.layer_table.empty() && row.label.condition != Condition::base)
      html += fmt::format("<details><summary>Layers of {}</summary><pre>{}</pre></details>\n", escape_html(row.label.str()),
                          escape_html(row.result.layer_table));
  html += "<h2>Configuration</h2><pre>" + escape_html(r.config.text) + "</pre>\n</body></html>\n";
  io::write_file(files.html, html);
  write_csv(r, files.csv);
  io::write_file(files.json, to_json(r));
  return files;
}

}  // namespace graft::study
