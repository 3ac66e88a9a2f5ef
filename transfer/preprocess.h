// From the u8 images of a data set to the input of a network.
#pragma once
#include <string>

#include "io/datasets/augment.h"

namespace graft::transfer {

struct Preprocessing {
  io::Normalization normalization;
  io::Augment augment;  // random parts are for training; a prefix cache refuses them

  Preprocessing for_evaluation() const;  // without the random parts
  std::string str() const;               // every field, in a fixed order: part of a result's identity
};

}  // namespace graft::transfer
