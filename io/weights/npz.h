// npy arrays and npz archives of them (numpy's format, versions 1 to 3).
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once
#include "io/weights/weights.h"
#include "io/weights/zip.h"

namespace graft::io {

// Little-endian f2 f4 f8 i4 i8 u1, and b1 as u8; C or Fortran order; the data must fill the file exactly. Objects
// (pickles) are refused.
Tensor parse_npy(ByteSpan content, std::string_view where);
WeightFile parse_npz(ZipReader& zip, std::string_view where);

}  // namespace graft::io
