// Downloading data sets into the user's cache.
#pragma once
#include <functional>

#include "io/datasets/catalog.h"

namespace graft::io {

struct FetchOptions {
  std::filesystem::path folder = cache_folder();
  // Called now and then with the file, the bytes so far and the expected number (0: not known). May throw to stop.
  std::function<void(const CatalogFile&, int64_t done, int64_t total)> progress = {};
};

struct FetchResult {
  struct File {
    std::filesystem::path path;
    std::string sha256;
    bool verified = false;    // false: the catalog knows no hash to compare with
    bool downloaded = false;  // false: was there already, and right
  };
  std::vector<File> files;
  std::string text() const;  // for a terminal
  std::string json() const;
};

// Downloads what is missing (http, https, file), each file under a temporary name, checked, then renamed: a name in the
// folder always holds a whole, right file. A broken download is continued by the next call; one with a wrong size or hash
// is deleted. LoadError: no address, a network fault, a wrong file; the text says which.
FetchResult fetch(const CatalogEntry&, const FetchOptions& = {});

}  // namespace graft::io
