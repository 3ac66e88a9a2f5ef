// The roofline plot (Williams, Waterman & Patterson 2009): performance over arithmetic intensity, a point for each row.
#pragma once
#include "bench/result.h"

namespace graft::bench {

enum class PlotFormat { svg, png };
PlotFormat plot_format(const std::string& path);  // ConfigError for another ending

std::string draw_roofline(const std::vector<Result>&, PlotFormat);

}  // namespace graft::bench
