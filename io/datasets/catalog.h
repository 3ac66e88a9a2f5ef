// The public data sets that Graft knows by name.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace graft::io {

enum class DataFormat { idx, cifar10_binary, cifar100_binary, image_archive };

struct CatalogFile {
  std::string path;       // relative to each searched folder
  int64_t bytes = 0;      // 0: not known
  std::string sha256;     // empty: could not be verified
  std::string url;        // empty: no stable public address
  bool unpacked = false;  // bytes and sha256 are of the content of a .gz, which several packers made

  // LoadError when size or hash are known and differ. Returns the sha256 that was compared.
  std::string verify(std::span<const std::byte> file, std::string_view where) const;
};

struct CatalogEntry {
  std::string name, description, source, licence;
  DataFormat format = DataFormat::idx;
  int64_t classes = 0, train = 0, test = 0;       // numbers of classes and items
  std::vector<CatalogFile> files;                 // idx: train images, train labels, test images, test labels; else one archive
  std::string how_to_get;                         // for people, where `graft fetch` cannot
  std::string package = {};                       // the Debian package that brings it, if one does
  std::vector<std::string> class_names = {};      // empty: what the files say (folders, lists of names)
  std::string train_split = {}, test_split = {};  // image archives: folder of the split; empty: the set has none
  int64_t crop = 0;                               // image archives of many sizes: ImageFolderOptions::size

  bool verified() const;  // every file has a sha256
};

const std::vector<CatalogEntry>& catalog();
const CatalogEntry& find_entry(const std::string& name);  // ConfigError naming the nearest entry

// Where the files of an entry lie, in the order of `files`; empty when any is missing. Searched as a whole, so that two
// half copies are never mixed: GRAFT_DATA, /usr/local/share/datasets, /usr/share/datasets, the cache.
std::vector<std::filesystem::path> locate(const CatalogEntry&);
std::filesystem::path cache_folder();           // $XDG_CACHE_HOME/graft or ~/.cache/graft
std::string absence_text(const CatalogEntry&);  // "data set 'x' not found: ..." with how to get it

std::string catalog_table();  // for a terminal
std::string catalog_json();   // one array of objects

}  // namespace graft::io
