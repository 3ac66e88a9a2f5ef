// The public data sets that Graft knows by name.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace graft::io {

enum class DataFormat { idx, cifar_binary, image_archive };

struct CatalogFile {
  std::string path;       // relative to GRAFT_DATA and to the cache of `graft fetch`
  int64_t bytes = 0;      // 0: not known
  std::string sha256;     // empty: could not be verified
  std::string url;        // empty: no stable public address
};

struct CatalogEntry {
  std::string name, description, source, licence;
  DataFormat format;
  int64_t classes, train, test;     // numbers of classes and items
  std::vector<CatalogFile> files;   // idx: train images, train labels, test images, test labels; else one archive
  std::string how_to_get;           // for people, where `graft fetch` cannot
  std::string package, system_folder;  // a Debian package that brings it, and where; may be empty
  std::string note;
  std::vector<std::string> class_names;  // empty: the folders' names, or digits
  std::string train_split, test_split;   // image archives: folder of the split; empty: the set has none
  int64_t crop = 0;                      // image archives of many sizes: ImageFolderOptions::size

  bool verified() const;                 // every file has a sha256
};

const std::vector<CatalogEntry>& catalog();
const CatalogEntry& find_entry(const std::string& name);  // ConfigError naming the nearest entry

// Where the files of an entry lie, in the order of `files`; empty when any is missing. Searched as a whole, so that two
// half copies are never mixed: GRAFT_DATA, the system's folders, the cache.
std::vector<std::filesystem::path> locate(const CatalogEntry&);
std::filesystem::path cache_folder();     // $XDG_CACHE_HOME/graft or ~/.cache/graft
std::string absence_text(const CatalogEntry&);  // "data set 'x' not found: ..." with how to get it

std::string catalog_table();  // for a terminal
std::string catalog_json();   // one array of objects

}  // namespace graft::io
