// The configuration of a transfer study: a TOML file that says which cells there are and what is claimed of them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nn/init.h"
#include "transfer/train.h"

namespace graft::study {

// Yosinski, Clune, Bengio, Lipson 2014: B is the half that is trained and tested on, A the other one, n the cut.
enum class Condition {
  base,     // B from scratch
  base2x,   // the same with the schedule stretched over twice the steps
  BnB,      // n blocks of base B, frozen; the rest fresh, trained on B
  BnBplus,  // the same, fine-tuned
  AnB,      // n blocks of the source network, frozen
  AnBplus,  // the same, fine-tuned
  RnB,      // n random blocks, frozen
};
std::string_view name(Condition);  // "base", "base2x", "BnB", "BnB+", "AnB", "AnB+", "RnB"
std::optional<Condition> condition_from_name(std::string_view);
bool has_cut(Condition);     // all but base and base2x
bool has_source(Condition);  // BnB and AnB, frozen or not
bool is_frozen(Condition);   // BnB, AnB, RnB

// How the classes of the data set become the two halves A and B. Each half is a target in turn.
struct SplitConfig {
  enum class Kind {
    random,  // halves drawn by the seed
    listed,  // the two lists below
    source,  // the target halves are those of `random`; the source is another data set with its own classes
  };
  std::string name;
  Kind kind = Kind::random;
  std::vector<std::string> a, b;        // listed: class names
  std::string source;                   // source: name of the data set
  int64_t source_images_per_class = 0;  // source: 0 is the number of the study
  std::vector<Condition> conditions;    // those of the grid unless given
};

// A claim about paired means: `value` ("AnB", "AnB - base", "specificity", ...; accuracies in percentage points) over
// `cuts`, of one split, or its excess over the same value of `minus_split`.
struct CriterionConfig {
  enum class Over { each, mean, spearman };  // every cut; the mean over the cuts; rank correlation of value and cut
  std::string name, value, split, minus_split;
  Over over = Over::each;
  std::vector<int64_t> cuts;                // empty: all of the grid
  std::optional<double> at_least, at_most;  // percentage points (spearman: -1..1); at least one of the two
  int64_t images_per_class = 0;             // of the target; 0: the number of the study
  int64_t keep = 0;
  int64_t seeds = 3;  // fewer than these: not judged
  int line = 0;       // in the file
};

struct StudyConfig {
  std::string name;
  std::string model = "study_cnn";
  nn::Init init = nn::Init::he_normal;
  std::string data;
  int64_t images_per_class = 0;  // of training; 0: all
  transfer::TrainConfig train;
  std::vector<Condition> conditions;
  std::vector<std::variant<int64_t, std::string>> cuts;  // numbers or names of blocks; empty: all
  std::vector<int64_t> keep = {0};
  std::vector<int64_t> target_images_per_class;  // further, smaller training sets of the target; the source stays full
  int64_t seeds = 3;                             // seeds are 0 .. seeds-1
  std::vector<SplitConfig> splits;
  std::vector<CriterionConfig> criteria;
  std::string text;  // the file
  Device device;     // not of the file: the numbers of another device are another study's
};

// ConfigError, one line "FILE:LINE: what is wrong", for syntax, unknown keys (with the nearest known one), wrong types and
// ranges. What needs the data or the model (class names, cuts, images per class) is checked by make_grid.
StudyConfig parse_config(std::string_view toml, const std::string& file_name);
StudyConfig load_config(const std::filesystem::path&);

}  // namespace graft::study
