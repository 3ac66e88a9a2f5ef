// The catalog and a download in words, for the terminal and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/datasets/catalog.h"
#include "io/datasets/fetch.h"

namespace graft::io {
namespace {

using Json = nlohmann::ordered_json;

std::string format_name(DataFormat format) {
  switch (format) {
    case DataFormat::idx: return "IDX";
    case DataFormat::cifar10_binary: return "CIFAR-10 binary";
    case DataFormat::cifar100_binary: return "CIFAR-100 binary";
    case DataFormat::image_archive: return "image archive";
  }
  return "";
}

std::string status(const CatalogEntry& entry) {
  const auto paths = locate(entry);
  return paths.empty() ? "not here" : paths[0].parent_path().string();
}

bool fetchable(const CatalogEntry& entry) {
  return std::none_of(entry.files.begin(), entry.files.end(), [](const CatalogFile& f) { return f.url.empty(); });
}

}  // namespace

std::string catalog_table() {
  std::string text;
  for (const CatalogEntry& e : catalog()) {
    text += fmt::format("{}  ({} classes, {} training and {} test images)\n", e.name, e.classes, e.train, e.test);
    text += fmt::format("  {}\n  source:  {}\n  licence: {}\n  format:  {}; sha256 {}\n", e.description, e.source, e.licence,
                        format_name(e.format), e.verified() ? "known" : "not verified for every file");
    text += fmt::format("  found:   {}\n", status(e));
    if (locate(e).empty()) text += fmt::format("  get it:  {}\n", e.how_to_get);
  }
  return text;
}

std::string catalog_json() {
  Json list = Json::array();
  for (const CatalogEntry& e : catalog()) {
    Json files = Json::array();
    for (const CatalogFile& f : e.files)
      files.push_back({{"path", f.path},
                       {"bytes", f.bytes > 0 ? Json(f.bytes) : Json()},
                       {"sha256", f.sha256.empty() ? Json() : Json(f.sha256)},
                       {"of", f.unpacked ? "unpacked content" : "file"},
                       {"url", f.url.empty() ? Json() : Json(f.url)}});
    Json paths = Json::array();
    for (const auto& path : locate(e)) paths.push_back(path.string());
    list.push_back({{"name", e.name},
                    {"description", e.description},
                    {"source", e.source},
                    {"licence", e.licence},
                    {"format", format_name(e.format)},
                    {"classes", e.classes},
                    {"train", e.train},
                    {"test", e.test},
                    {"sha256_verified", e.verified()},
                    {"fetchable", fetchable(e)},
                    {"get", e.how_to_get},
                    {"package", e.package.empty() ? Json() : Json(e.package)},
                    {"files", files},
                    {"found", paths}});
  }
  return list.dump(2);
}

std::string FetchResult::text() const {
  std::string text;
  for (const File& f : files)
    text += fmt::format("{}  {}, sha256 {} {}\n", f.path.string(), f.downloaded ? "downloaded" : "already there", f.sha256,
                        f.verified ? "as in the catalog" : "NOT VERIFIED: the catalog knows none");
  return text;
}

std::string FetchResult::json() const {
  Json list = Json::array();
  for (const File& f : files)
    list.push_back({{"path", f.path.string()}, {"sha256", f.sha256}, {"verified", f.verified}, {"downloaded", f.downloaded}});
  return Json{{"files", list}}.dump(2);
}

}  // namespace graft::io
