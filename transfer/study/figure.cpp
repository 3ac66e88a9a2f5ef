#include "transfer/study/figure.h"

#include <fmt/core.h>

#include "io/report/gnuplot.h"
#include "kernels/common/error.h"
#include "transfer/study/tables.h"

namespace graft::study {
namespace {

struct Style {
  const char *condition, *colour;
  int point, dash;
};
// Self-transfer blue, transfer red, random grey: the colours of the paper; "+" (fine-tuned) lighter, with open marks.
constexpr Style kStyles[] = {{"base", "#000000", 7, 2}, {"base2x", "#808000", 5, 2}, {"BnB", "#1f4fbf", 7, 1},
                             {"BnB+", "#7fa7ff", 6, 1}, {"AnB", "#c01818", 9, 1},    {"AnB+", "#ff8f80", 8, 1},
                             {"RnB", "#707070", 11, 3}};

std::string terminal(FigureFormat f) {
  switch (f) {
    case FigureFormat::svg: return "set terminal svg size 760,520 enhanced background 'white' font 'sans-serif,13'\n";
    case FigureFormat::png: return "set terminal pngcairo size 1140,780 enhanced font 'sans,16'\n";
    case FigureFormat::text: return "set terminal dumb size 100,30 mono\n";
    case FigureFormat::colour_text: return "set terminal dumb size 100,30 ansi256\n";
  }
  return "";
}

}  // namespace

std::string draw_figure(const StudyResults& r, const Selection& s, FigureFormat format) {
  const bool text = format == FigureFormat::text || format == FigureFormat::colour_text;
  std::string script = terminal(format), plots;
  const int64_t last = r.cuts.empty() ? 1 : r.cuts.back();
  script += fmt::format(
      "set title {} noenhanced\nset xlabel 'layer n at which the network is cut'\nset ylabel 'accuracy, %' {}\n"
      "set xrange [-0.5:{}.5]\nset xtics 0,1\nset grid ytics lc rgb '#dddddd'\nset key {}\n",
      io::gnuplot_quoted(title(s, r)), text ? "" : "offset 1", last, text ? "below" : "outside right top");
  double shift = -0.15;
  for (const Style& style : kStyles) {
    std::string points, means, bands;
    for (int64_t cut = 0; cut <= last; ++cut) {
      const Quantity* q = find(r, s, style.condition, cut);
      if (!q || !q->summary.seeds) continue;
      for (const Point& p : q->points) points += fmt::format("{} {}\n", double(cut) + (text ? 0 : shift), p.value);
      means += fmt::format("{} {}\n", cut, q->summary.mean);
      if (const auto h = q->summary.half_width) bands += fmt::format("{} {} {}\n", cut, q->summary.mean - *h, q->summary.mean + *h);
    }
    shift += 0.05;
    if (means.empty()) continue;
    const bool flat = means.find('\n') == means.size() - 1;  // base, base2x: their mean as a line over all cuts
    if (flat) means += fmt::format("{} {}", last, means.substr(means.find(' ') + 1));
    const std::string id = "$d" + std::to_string(&style - kStyles);
    script += fmt::format("{0}p << EOD\n{1}EOD\n{0}m << EOD\n{2}EOD\n{0}b << EOD\n{3}EOD\n", id, points, means, bands);
    if (!plots.empty()) plots += ", \\\n  ";
    if (!text) {
      if (!bands.empty() && !flat)
        plots += fmt::format("{}b using 1:2:3 with filledcurves lc rgb '{}' fs transparent solid 0.15 notitle, \\\n  ", id,
                             style.colour);
      plots += fmt::format("{}p with points pt {} ps 0.7 lc rgb '{}' notitle, \\\n  ", id, style.point, style.colour);
    }
    plots += fmt::format("{}m with {} {} lc rgb '{}' {} title {}", id, flat ? "lines" : "linespoints",
                         text ? "" : fmt::format("dt {} lw 2", style.dash), style.colour,
                         flat   ? ""
                         : text ? ""
                                : fmt::format("pt {} ps 1", style.point),
                         io::gnuplot_quoted(style.condition));
  }
  check<Error>(!plots.empty(), "figure: no result to draw");
  return io::gnuplot(script + "plot " + plots + "\n");
}

}  // namespace graft::study
