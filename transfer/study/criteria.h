// The verdict: claims of the configuration, judged on paired means.
#pragma once
#include "transfer/study/config.h"
#include "transfer/study/statistics.h"

namespace graft::study {

enum class Judgement { pass, fail, not_judged };
std::string_view name(Judgement);  // "pass", "fail", "not judged"

// A criterion passes when the mean over seeds is inside its band, and, where the band is on one side of 0, the sign is
// right in every seed or the 95 % interval excludes 0. With `each`, this holds at every cut.
struct Verdict {
  std::string criterion;
  std::string measured;  // "-27.4 pp at cut 6 (3 of 3 seeds, +/- 2.1)": the cut that decides
  std::string needed;    // "at most -12 pp"
  Judgement judgement = Judgement::not_judged;
  std::string reason;  // of a failure or of no judgement; empty when passed
  double value = 0;    // the measured number; NaN when there is none
};

// `cuts`: those of the grid.
std::vector<Verdict> judge(const StudyConfig&, const std::vector<int64_t>& cuts, const std::vector<Row>&);
bool all_passed(const std::vector<Verdict>&);

}  // namespace graft::study
