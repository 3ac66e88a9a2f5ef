// The identity of a cell: two cells with the same key have the same numbers, so only one of them is run.
#pragma once
#include <string>
#include <string_view>

#include "transfer/study/cell.h"
#include "transfer/study/grid.h"

namespace graft::study {

// XXH3 (128 bits) as 32 hex digits.
std::string hash_text(std::string_view);

// Everything that decides the numbers, one "name = value" a line: instruction-set target, kernel version, model, recipe,
// data (names and hashes, classes, images per class, preprocessing), seed, half, condition, cut, keep, key of the source.
// The name of the split and of the study, the number of threads, jobs and the cache are no part of it.
std::string identity(const StudyConfig&, const CellLabel&, const DataSpec&, const io::Splits&, const transfer::Preprocessing&,
                     const Shape& input, const std::string& source_key);

}  // namespace graft::study
