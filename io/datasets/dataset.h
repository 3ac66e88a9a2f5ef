// Labelled images in memory, and what a study does to them before training.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace graft::io {

struct Dataset {
  std::string name;
  Tensor images;                        // u8 [N, H, W, C]; undefined when there are none
  Tensor labels;                        // i64 [N], each in [0, classes.size())
  std::vector<std::string> classes;     // in label order
  uint64_t hash = 0;                    // XXH64 of shape, images and labels
  std::vector<std::string> files = {};  // the file of each item, where it came from image files; else empty

  int64_t size() const { return images ? images.size(0) : 0; }
  std::vector<int64_t> class_counts() const;
};

struct Splits {
  Dataset train, test;  // one of them is empty where the public set has only the other
};

// Checks the parts against each other (LoadError beginning with `where`) and computes the hash. labels: i64 or u8.
Dataset make_dataset(std::string name, Tensor images, Tensor labels, std::vector<std::string> classes, std::string_view where);

// A catalog name ("fashion-mnist", "cifar10-jpeg", ...). ConfigError: no such name; LoadError: absent (the text says how
// to get it) or damaged. Searched in GRAFT_DATA, the system's folders, then the cache of `graft fetch`.
Splits load_dataset(const std::string& name);

struct ImageFolderOptions {
  std::string split = {};  // the folder that holds the class folders ("train", "test"); empty: there must be only one
  int64_t size = 0;        // short side resized to it, then the centre cropped; 0: all images must have one size
  int64_t channels = 0;    // 1, 3, or 0: as stored by the first image
};
// One folder per class, as a folder or inside a .tar, .tar.gz, .tar.xz or .zip; labels in alphabetical order of the class.
Dataset load_images(const std::filesystem::path& folder_or_archive, const ImageFolderOptions& = {});

// For training: a catalog name, or a folder or an archive (its folders "train" and "test", or all of it as training images).
Splits load_splits(const std::string& name_folder_or_archive);

// For evaluation: the test split of a catalog name, or of a folder or an archive (its folder "test" if it has several).
Dataset load_test_data(const std::string& name_folder_or_archive, ImageFolderOptions = {});

// The items of these classes, in their order in `ds`, relabelled 0..k-1 in the order given.
Dataset select_classes(const Dataset&, std::span<const int64_t> classes);
// n items of each class: the first, or drawn by `key` without replacement (kept in data set order); ConfigError when a
// class has fewer. A draw of m < n items with the same key is a subset of the draw of n.
Dataset first_per_class(const Dataset&, int64_t n);
Dataset sample_per_class(const Dataset&, int64_t n, uint64_t key);
Dataset select_items(const Dataset&, std::span<const int64_t> items);  // in the order given
Dataset to_channels(const Dataset&, int64_t channels);                 // grey repeated; anything else must already have that many
Dataset pad_to(const Dataset&, int64_t height, int64_t width);         // centred (the odd pixel below and right), zeros around

// Per channel, of pixels / 255. Of training images only, else the test set leaks into the preprocessing.
struct ChannelStatistics {
  std::vector<double> mean, stddev;
};
ChannelStatistics channel_statistics(const Dataset& train);

}  // namespace graft::io
