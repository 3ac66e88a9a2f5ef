#include "io/datasets/image_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "io/archive.h"
#include "io/images.h"
#include "io/resize.h"

namespace graft::io {
namespace {

namespace fs = std::filesystem;

// "set/train/cat/7.png" -> split "train", class "cat"; files without a class folder, hidden ones and others are left out.
void add_image_file(std::vector<ImageFile>& files, const fs::path& name, auto&& bytes) {
  const fs::path path = name.lexically_normal(), folder = path.parent_path();
  if (folder.empty() || !has_image_extension(path.string()) || path.filename().string().starts_with('.')) return;
  files.push_back({folder.parent_path().filename().string(), folder.filename().string(), path.string(), bytes()});
}

std::vector<ImageFile> sorted(std::vector<ImageFile> files, const std::string& where) {
  check<LoadError>(!files.empty(), "{}: no images: expected .png, .jpg or .bmp files, one folder per class", where);
  std::sort(files.begin(), files.end(), [](const ImageFile& a, const ImageFile& b) {
    return std::tie(a.split, a.class_name, a.name) < std::tie(b.split, b.class_name, b.name);
  });
  return files;
}

Image decode(const ImageFile& file, const ImageFolderOptions& options, int64_t channels, const std::string& where) {
  Image image = decode_image(file.bytes, where + ": " + file.name, channels);
  return options.size > 0 ? resize_and_crop(image, options.size) : image;
}

}  // namespace

std::vector<ImageFile> read_image_files(ByteSpan archive, const std::string& where) {
  std::vector<ImageFile> files;
  for_each_member(archive, where,
                  [&](const std::string& name, Bytes content) { add_image_file(files, name, [&] { return std::move(content); }); });
  return sorted(std::move(files), where);
}

std::vector<ImageFile> read_image_files(const fs::path& path) {
  if (!fs::is_directory(path)) return read_image_files(read_file(path), path.string());
  std::vector<ImageFile> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file()) add_image_file(files, it->path().lexically_relative(path), [&] { return read_file(it->path()); });
  check<LoadError>(!error, "{}: cannot be read: {}", path.string(), error.message());
  return sorted(std::move(files), path.string());
}

Dataset decode_image_files(const std::vector<ImageFile>& all, const ImageFolderOptions& options, const std::string& where) {
  check<ConfigError>(options.size >= 0 && options.size <= 16384, "{}: image size: expected 0 to 16384, got {}", where,
                     options.size);
  std::vector<const ImageFile*> files;
  std::set<std::string> splits, names;
  for (const ImageFile& file : all) {
    splits.insert(file.split);
    if (!options.split.empty() && file.split != options.split) continue;
    files.push_back(&file);
    names.insert(file.class_name);
  }
  check<LoadError>(!files.empty(), "{}: no folder '{}': it has {}", where, options.split, fmt::join(splits, ", "));
  check<LoadError>(!options.split.empty() || splits.size() == 1, "{}: several sets of classes: choose one of {}", where,
                   fmt::join(splits, ", "));
  const std::vector<std::string> classes(names.begin(), names.end());

  // The first image decides; all headers are compared with it before the memory for all is taken.
  Image first = image_header(files[0]->bytes, where + ": " + files[0]->name);
  const int64_t channels = options.channels > 0 ? options.channels : first.channels;
  if (options.size > 0) first.height = first.width = options.size;
  const int64_t n = int64_t(files.size()), size = first.height * first.width * channels;
  for (const ImageFile* file : files) {
    const Image header = image_header(file->bytes, where + ": " + file->name);
    check<LoadError>(options.size > 0 || (header.height == first.height && header.width == first.width),
                     "{}: {}: expected {}x{} pixels as in {}, got {}x{} (a fixed size would resize and crop)", where, file->name,
                     first.height, first.width, files[0]->name, header.height, header.width);
  }
  Tensor images = Tensor::empty({n, first.height, first.width, channels}, DType::u8), labels = Tensor::empty({n}, DType::i64);
  uint8_t* pixels = images.data<uint8_t>();
  constexpr int64_t kGrain = 16;
  current_context().pool().parallel_range(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Image image = decode(*files[size_t(i)], options, channels, where);
      std::copy(image.pixels.begin(), image.pixels.end(), pixels + i * size);
    }
  });
  for (int64_t i = 0; i < n; ++i)
    labels.data<int64_t>()[i] = std::lower_bound(classes.begin(), classes.end(), files[size_t(i)]->class_name) - classes.begin();
  Dataset ds = make_dataset(where, images, labels, classes, where);
  for (const ImageFile* file : files) ds.files.push_back(file->name);
  return ds;
}

Dataset load_images(const fs::path& path, const ImageFolderOptions& options) {
  return decode_image_files(read_image_files(path), options, path.string());
}

}  // namespace graft::io
