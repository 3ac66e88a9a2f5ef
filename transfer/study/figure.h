// The curve of generality against specificity, in the form of Figure 2 of Yosinski et al. 2014: accuracy over the layer of
// the cut, a point per run, a line through the means, a band for the interval. Drawn by gnuplot.
#pragma once
#include "transfer/study/results.h"

namespace graft::study {

enum class FigureFormat { svg, png, text, colour_text };
// The finished file (SVG or PNG) or text of 100 columns. Error when gnuplot fails.
std::string draw_figure(const StudyResults&, const Selection&, FigureFormat);

}  // namespace graft::study
