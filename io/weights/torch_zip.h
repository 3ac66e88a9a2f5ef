// PyTorch files since 1.6: a zip of NAME/data.pkl and one NAME/data/KEY per storage.
#pragma once
#include "io/weights/weights.h"
#include "io/weights/zip.h"

namespace graft::io {

bool is_torch_zip(const ZipReader& zip);
WeightFile parse_torch_zip(ZipReader& zip, std::string_view where);

}  // namespace graft::io
