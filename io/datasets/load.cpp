// Data sets by name: from the catalog's files to Splits.
#include <algorithm>
#include <map>

#include "io/archive.h"
#include "io/cifar.h"
#include "io/datasets/catalog.h"
#include "io/datasets/dataset.h"
#include "io/datasets/image_folder.h"
#include "io/idx.h"

namespace graft::io {
namespace {

namespace fs = std::filesystem;

// The bytes of one catalog file, compared with what the catalog knows of it.
Bytes read_checked(const CatalogFile& file, const fs::path& path) {
  Bytes bytes = read_file(path);
  file.verify(bytes, path.string());
  return bytes;
}

Splits load_idx(const CatalogEntry& entry, const std::vector<fs::path>& paths) {
  const auto tensor = [&](size_t i) {
    const Bytes bytes = read_checked(entry.files[i], paths[i]);
    return parse_idx(is_gzip(bytes) ? gunzip(bytes, paths[i].string()) : bytes, paths[i].string());
  };
  const auto split = [&](size_t i) {
    return make_dataset(entry.name, tensor(i), tensor(i + 1), entry.class_names, paths[i + 1].string());
  };
  return {split(0), split(2)};
}

Dataset join(const std::string& name, const std::vector<CifarBatch>& batches, std::vector<std::string> classes,
             std::string_view where) {
  check<LoadError>(!batches.empty(), "{}: no batches of {}", where, name);
  int64_t n = 0;
  for (const CifarBatch& b : batches) n += b.labels.size(0);
  Tensor images = Tensor::empty({n, 32, 32, 3}, DType::u8), labels = Tensor::empty({n}, DType::i64);
  for (int64_t at = 0; const CifarBatch& b : batches) {
    images.rows(at, at + b.labels.size(0)).copy_from(b.images);
    labels.rows(at, at + b.labels.size(0)).copy_from(b.labels);
    at += b.labels.size(0);
  }
  return make_dataset(name, images, labels, std::move(classes), where);
}

std::vector<std::string> lines_of(ByteSpan text) {
  std::vector<std::string> lines(1);
  for (std::byte b : text) {
    if (b == std::byte{'\n'}) lines.emplace_back();
    else if (b != std::byte{'\r'}) lines.back() += char(b);
  }
  std::erase(lines, "");
  return lines;
}

// The archives of the University of Toronto: data_batch_1.bin .. data_batch_5.bin and test_batch.bin, or train.bin and
// test.bin, and a list of class names.
Splits load_cifar(const CatalogEntry& entry, const fs::path& path) {
  const Cifar kind = entry.format == DataFormat::cifar10_binary ? Cifar::cifar10 : Cifar::cifar100;
  const std::string names_file = kind == Cifar::cifar10 ? "batches.meta.txt" : "fine_label_names.txt";
  std::map<std::string, Bytes> members;  // by file name, so batches come in order
  for_each_member(read_checked(entry.files[0], path), path.string(), [&](const std::string& name, Bytes content) {
    members[fs::path(name).filename().string()] = std::move(content);
  });
  check<LoadError>(members.contains(names_file), "{}: no {}", path.string(), names_file);
  std::vector<CifarBatch> train, test;
  for (const auto& [name, content] : members)
    if (name.ends_with(".bin"))
      (name.starts_with("test") ? test : train).push_back(parse_cifar(content, kind, path.string() + ": " + name));
  const auto classes = lines_of(members[names_file]);
  return {join(entry.name, train, classes, path.string()), join(entry.name, test, classes, path.string())};
}

Splits load_image_archive(const CatalogEntry& entry, const fs::path& path) {
  const auto files = read_image_files(read_checked(entry.files[0], path), path.string());
  const auto split = [&](const std::string& folder) {
    if (folder.empty()) return Dataset{entry.name, {}, {}, {}, 0};
    Dataset ds = decode_image_files(files, {folder, entry.crop, 3}, path.string());
    ds.name = entry.name;
    return ds;
  };
  return {split(entry.train_split), split(entry.test_split)};
}

Splits load_files(const CatalogEntry& entry, const std::vector<fs::path>& paths) {
  switch (entry.format) {
    case DataFormat::idx: return load_idx(entry, paths);
    case DataFormat::cifar10_binary:
    case DataFormat::cifar100_binary: return load_cifar(entry, paths[0]);
    case DataFormat::image_archive: return load_image_archive(entry, paths[0]);
  }
  throw InternalError(fmt::format("{}: unknown format", entry.name));
}

bool in_catalog(const std::string& name) {
  return std::ranges::any_of(catalog(), [&](const CatalogEntry& e) { return e.name == name; });
}

std::vector<ImageFile> files_of(const std::string& folder_or_archive) {
  std::error_code ignored;
  if (!fs::exists(folder_or_archive, ignored)) {
    check<LoadError>(folder_or_archive.find('/') == std::string::npos, "{}: no such folder or archive", folder_or_archive);
    find_entry(folder_or_archive);  // throws, with the nearest name
  }
  return read_image_files(folder_or_archive);
}

bool has_split(const std::vector<ImageFile>& files, std::string_view split) {
  return std::ranges::any_of(files, [&](const ImageFile& f) { return f.split == split; });
}

}  // namespace

Splits load_dataset(const std::string& name) {
  const CatalogEntry& entry = find_entry(name);
  const auto paths = locate(entry);
  if (paths.empty()) throw LoadError(absence_text(entry));
  Splits splits = load_files(entry, paths);
  const auto check_split = [&](Dataset& ds, int64_t expected, std::string_view what) {
    check<LoadError>(ds.size() == expected, "{}: {}: expected {} {} images, got {}", paths[0].string(), name, expected, what,
                     ds.size());
    check<LoadError>(expected == 0 || int64_t(ds.classes.size()) == entry.classes, "{}: {}: expected {} classes, got {} in {}",
                     paths[0].string(), name, entry.classes, ds.classes.size(), what);
  };
  check_split(splits.train, entry.train, "training");
  check_split(splits.test, entry.test, "test");
  check<LoadError>(splits.train.size() == 0 || splits.test.size() == 0 || splits.train.classes == splits.test.classes,
                   "{}: {}: training and test have different classes", paths[0].string(), name);
  return splits;
}

Splits load_splits(const std::string& name) {
  if (in_catalog(name)) return load_dataset(name);
  const auto files = files_of(name);
  const bool train = has_split(files, "train");
  Splits splits{decode_image_files(files, {.split = train ? "train" : ""}, name), {}};
  if (train && has_split(files, "test")) {
    splits.test = decode_image_files(files, {.split = "test"}, name);
    check<LoadError>(splits.train.classes == splits.test.classes, "{}: its folders train and test have different classes", name);
  }
  return splits;
}

Dataset load_test_data(const std::string& name, ImageFolderOptions options) {
  if (in_catalog(name)) {
    Dataset test = load_dataset(name).test;
    check<LoadError>(test.size() > 0, "{}: has no test images", name);
    return test;
  }
  const auto files = files_of(name);
  if (options.split.empty() && has_split(files, "test")) options.split = "test";
  return decode_image_files(files, options, name);
}

}  // namespace graft::io
