#include "transfer/study/tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace graft::study {
namespace {

// "71.3 +/- 0.8 (3+ 0-)" for a difference, "71.3 +/- 0.8" for an accuracy; the interval from 3 seeds on.
std::string cell_text(const Quantity* q, bool difference) {
  if (!q || !q->summary.seeds) return "-";
  const Summary& s = q->summary;
  std::string text = fmt::format(fmt::runtime(difference ? "{:+.1f}" : "{:.1f}"), s.mean);
  if (s.half_width) text += fmt::format(" ±{:.1f}", *s.half_width);
  if (difference && s.half_width) text += fmt::format(" ({}+ {}-)", s.positive, s.negative);
  if (q->missing) text += fmt::format(" [{} missing]", q->missing);
  return text;
}

Table per_cut(const StudyResults& r, const Selection& s, std::string title, const std::vector<std::string>& names,
              bool difference) {
  Table t{std::move(title), {""}, {}};
  for (int64_t cut : r.cuts) t.header.push_back(fmt::format("n = {}", cut));
  for (const std::string& name : names) {
    std::vector<std::string> row{name};
    bool any = false;
    for (int64_t cut : r.cuts) {
      const Quantity* q = find(r, s, name, cut);
      if (!q) q = find(r, s, name, 0);  // base and base2x have no cut: the same number at every one
      any |= q && q->summary.seeds;
      row.push_back(cell_text(q, difference));
    }
    if (any) t.rows.push_back(std::move(row));
  }
  return t;
}

// Columns of a terminal: UTF-8 continuation bytes take none.
size_t width(std::string_view s) {
  return size_t(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::vector<Selection> selections(const StudyResults& r) {
  std::vector<Selection> list;
  for (const Quantity& q : r.quantities)
    if (std::find(list.begin(), list.end(), q.selection) == list.end()) list.push_back(q.selection);
  return list;
}

std::string title(const Selection& s, const StudyResults& r) {
  std::string text = fmt::format("{}, split {}", r.config.data, s.partition);
  if (s.images_per_class) text += fmt::format(", {} images a class", s.images_per_class);
  if (s.keep) text += fmt::format(", {} further layers kept", s.keep);
  return text;
}

const Quantity* find(const StudyResults& r, const Selection& s, std::string_view name, int64_t cut) {
  for (const Quantity& q : r.quantities)
    if (q.name == name && q.cut == cut && q.selection == s) return &q;
  return nullptr;
}

Table accuracies(const StudyResults& r, const Selection& s) {
  return per_cut(r, s, "Accuracy on the target's test images, % (" + title(s, r) + ")",
                 {"base", "base2x", "BnB", "BnB+", "AnB", "AnB+", "RnB"}, false);
}

Table decomposition(const StudyResults& r, const Selection& s) {
  return per_cut(r, s, "Paired differences, percentage points (" + title(s, r) + ")", {std::begin(kDerived), std::end(kDerived)},
                 true);
}

Table verdicts(const StudyResults& r) {
  Table t{"Criteria", {"criterion", "measured", "needed", "verdict"}, {}};
  for (const Verdict& v : r.verdicts)
    t.rows.push_back(
        {v.criterion, v.measured, v.needed, std::string(name(v.judgement)) + (v.reason.empty() ? "" : ": " + v.reason)});
  return t;
}

Table cells(const StudyResults& r) {
  Table t{"Cells",
          {"condition", "cut", "keep", "split", "source", "half", "seed", "images/class", "status", "accuracy", "loss", "epochs",
           "seconds", "cached blocks", "weights", "frozen", "commit", "finished"},
          {}};
  for (const Row& row : r.rows) {
    const CellLabel& l = row.label;
    const CellResult& c = row.result;
    t.rows.push_back({std::string(name(l.condition)), fmt::format("{}", l.cut), fmt::format("{}", l.keep), l.partition, l.source,
                      l.half, fmt::format("{}", l.seed), fmt::format("{}", l.images_per_class), c.status,
                      c.accuracy ? fmt::format("{:.4f}", *c.accuracy) : "", c.loss ? fmt::format("{:.4f}", *c.loss) : "",
                      fmt::format("{}", c.epochs), fmt::format("{:.2f}", c.seconds), fmt::format("{}", c.prefix_blocks),
                      c.weights_hash, c.proof, row.commit, row.finished});
  }
  return t;
}

Table facts(const StudyResults& r) {
  Table t{"Run", {"", ""}, {}};
  t.rows.push_back({"cells with a result", fmt::format("{} of {}", r.rows.size(), r.planned)});
  const auto percent = [](double saving) { return std::isnan(saving) ? "unknown" : fmt::format("{:.1f} %", 100 * saving); };
  t.rows.push_back({"prefix cache: saving of time, predicted", percent(r.predicted_saving)});
  t.rows.push_back({"prefix cache: saving of time, measured", percent(r.measured_saving)});
  for (const auto& [key, value] : r.meta)
    if (value.find('\n') == std::string::npos) t.rows.push_back({key, value});
  return t;
}

std::string to_text(const Table& t) {
  std::vector<size_t> widths(t.header.size());
  const auto measure = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  };
  measure(t.header);
  for (const auto& row : t.rows) measure(row);
  std::string text = t.title + "\n";
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) line += " " + row[i] + std::string(widths[i] - width(row[i]) + 1, ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  print(t.header);
  for (const auto& row : t.rows) print(row);
  return text;
}

std::string escape_html(std::string_view s) {
  std::string out;
  for (char c : s) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  return out;
}

std::string to_html(const Table& t) {
  std::string html = "<h2>" + escape_html(t.title) + "</h2>\n<div class=\"scroll\"><table>\n<tr>";
  for (const auto& h : t.header) html += "<th>" + escape_html(h) + "</th>";
  html += "</tr>\n";
  for (const auto& row : t.rows) {
    html += "<tr>";
    for (const auto& c : row) html += "<td>" + escape_html(c) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace graft::study
