// Image files on their way into a Dataset: one folder per class, in a folder or an archive.
#pragma once
#include "io/datasets/dataset.h"
#include "io/file.h"

namespace graft::io {

struct ImageFile {
  std::string split;       // the folder that holds the class folder ("train"); empty at the top
  std::string class_name;  // the folder that holds the file
  std::string name;
  Bytes bytes;
};

// The image files (by extension, hidden ones left out) sorted by class, then name. LoadError when there are none.
std::vector<ImageFile> read_image_files(const std::filesystem::path& folder_or_archive);
std::vector<ImageFile> read_image_files(ByteSpan archive, const std::string& where);

// Decodes those of one split, in parallel. `where` begins the errors and names the data set.
Dataset decode_image_files(const std::vector<ImageFile>&, const ImageFolderOptions&, const std::string& where);

}  // namespace graft::io
