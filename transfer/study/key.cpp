#include "transfer/study/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "kernels/common/version.h"
#include "tensor/device.h"

namespace graft::study {

std::string hash_text(std::string_view text) {
  const XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

std::string identity(const StudyConfig& c, const CellLabel& l, const DataSpec& d, const io::Splits& data,
                     const transfer::Preprocessing& preprocessing, const Shape& input, const std::string& source_key) {
  std::string classes;
  for (int64_t k : d.classes) classes += fmt::format("{}{}", classes.empty() ? "" : " ", k);
  std::string s = fmt::format(
      "graft cell = 1\ntarget = {}\nkernels = {}\nmodel = {}\ninput = {}\ninit = {}\ntrain = {}\npreprocessing = {}\n"
      "data = {} {:016x} {:016x}\nclasses = {}\nimages per class = {}\nseed = {}\nhalf = {}\ncondition = {}\n",
      target(c.device), kKernelVersion, c.model, input, nn::name(c.init), train_config(c, l.condition, preprocessing).str(),
      preprocessing.str(), d.name, data.train.hash, data.test.hash, classes, d.images_per_class, l.seed, l.half, name(l.condition));
  if (has_cut(l.condition)) s += fmt::format("cut = {}\nkeep = {}\n", l.cut, l.keep);
  if (!source_key.empty()) s += fmt::format("source = {}\n", source_key);
  return s;
}

}  // namespace graft::study
