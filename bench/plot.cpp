#include "bench/plot.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "io/report/gnuplot.h"

namespace graft::bench {

PlotFormat plot_format(const std::string& path) {
  if (path.ends_with(".svg")) return PlotFormat::svg;
  check<ConfigError>(path.ends_with(".png"), "bench: --plot: expected FILE.svg or FILE.png, got '{}'", path);
  return PlotFormat::png;
}

std::string draw_roofline(const std::vector<Result>& results, PlotFormat format) {
  // Cold rows: the roof of memory is theirs alone; a hot row's depends on which cache holds it.
  std::map<std::pair<std::string, std::string>, std::string> points;
  double peak = 0, bandwidth = 0, least = 1e30, most = 0;
  for (const Result& r : results) {
    if (r.cache != "cold" || r.flops <= 0 || r.bytes <= 0) continue;
    const double intensity = r.flops / r.bytes;
    points[{r.op, r.engine}] += fmt::format("{} {}\n", intensity, r.gflops());
    peak = std::max(peak, r.peak_gflops), bandwidth = std::max(bandwidth, r.bandwidth_gbs);
    least = std::min(least, intensity), most = std::max(most, intensity);
  }
  check<Error>(!points.empty(), "bench: --plot: no cold row with a cost to draw");
  least = std::min(least, peak / bandwidth) / 2, most = std::max(most, peak / bandwidth) * 2;
  const Result& r = results[0];
  std::string script = format == PlotFormat::svg
                           ? "set terminal svg size 860,560 enhanced background 'white' font 'sans-serif,13'\n"
                           : "set terminal pngcairo size 1290,840 enhanced font 'sans,16'\n";
  script += fmt::format(
      "set title {} noenhanced\nset xlabel 'arithmetic intensity, flop / byte'\nset ylabel 'GFLOP/s'\nset logscale xy\n"
      "set xrange [{}:{}]\nset grid lc rgb '#dddddd'\nset key outside right top noenhanced\nroof(x) = x * {} < {} ? x * {} : {}\n",
      io::gnuplot_quoted(
          fmt::format("{}, {} threads, {}: {:.0f} GFLOP/s, {:.0f} GB/s", r.device, r.threads, r.target, peak, bandwidth)),
      least, most, bandwidth, peak, bandwidth, peak);
  std::string plots = "roof(x) with lines lw 2 lc rgb '#000000' title 'roofline of the run'";
  int i = 0;
  for (const auto& [key, data] : points) {
    script += fmt::format("$d{} << EOD\n{}EOD\n", i, data);
    plots += fmt::format(", \\\n  $d{} with points pt {} ps 0.8 lc {} title {}", i, key.second == "graft" ? 7 : 6, i + 1,
                         io::gnuplot_quoted(key.first + ", " + key.second));
    ++i;
  }
  return io::gnuplot(script + "plot " + plots + "\n");
}

}  // namespace graft::bench
