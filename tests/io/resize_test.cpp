// Resizing beside Pillow's bilinear filter: tests/golden/make_resize.py.
#include "io/resize.h"

#include <map>

#include "io/weights/weights.h"
#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;

TEST_CASE("resize: reductions, enlargements and boxes are Pillow's, byte for byte") {
  std::map<std::string, Tensor> golden;
  for (auto& [name, t] : load_weights(std::filesystem::path(GRAFT_SOURCE_DIR) / "tests/golden/resize.safetensors"))
    golden[name] = t;
  REQUIRE(golden.size() == 30);
  for (int k = 0; k < 10; ++k) {
    CAPTURE(k);
    const Tensor &in = golden.at("in/" + std::to_string(k)), &expected = golden.at("out/" + std::to_string(k));
    const auto box = golden.at("box/" + std::to_string(k)).to_vector<double>();  // left, upper, right, lower
    Tensor out = Tensor::empty(expected.shape(), DType::u8);
    resize_bilinear(in.data<uint8_t>(), in.size(0), in.size(1), in.size(2), {box[1], box[0], box[3] - box[1], box[2] - box[0]},
                    out.data<uint8_t>(), out.size(0), out.size(1));
    int64_t different = 0;
    for (int64_t i = 0; i < out.numel(); ++i) different += out.data<uint8_t>()[i] != expected.data<uint8_t>()[i];
    CHECK(different == 0);
  }
}
