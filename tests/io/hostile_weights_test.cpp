// What no weight file may do: run something, crash, or make the reader allocate what the file does not hold.
#include <doctest/doctest.h>

#include <filesystem>

#include "io/checkpoint.h"
#include "io/weights/npz.h"
#include "io/weights/weights.h"
#include "kernels/common/philox.h"
#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;
namespace fs = std::filesystem;

namespace {

const fs::path kFolder = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/weights";

std::string text(const fs::path& path) {
  const Bytes b = read_file(path);
  return std::string(reinterpret_cast<const char*>(b.data()), b.size());
}

std::string refusal(std::string_view content) {
  const Bytes own = test::to_bytes(content);  // its own block: reading past it shows under ASan
  try {
    parse_weights(own, "f");
  } catch (const LoadError& e) {
    return e.what();
  }
  return "accepted";
}

// A legacy file around a pickled state and a list of keys.
std::string legacy(const std::string& state, const std::string& keys = "]", const std::string& data = "") {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
  return magic + "\x80\x02M\xe9\x03." + "\x80\x02}." + "\x80\x02" + state + "." + "\x80\x02" + keys + "." + data;
}

std::string u32(uint32_t n) { return std::string(reinterpret_cast<const char*>(&n), 4); }
std::string u64(uint64_t n) { return std::string(reinterpret_cast<const char*>(&n), 8); }
std::string word(const std::string& s) { return std::string("X") + u32(uint32_t(s.size())) + s; }
std::string integer(int32_t n) { return std::string("J") + u32(uint32_t(n)); }

// {"w": a float tensor over storage "0"}
std::string tensor_state(int32_t stored, const std::string& offset, const std::string& sizes, const std::string& strides) {
  return std::string("}") + word("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + word("storage") + "ctorch\nFloatStorage\n" +
         word("0") + word("cpu") + integer(stored) + "tQ" + offset + "(" + sizes + "t(" + strides + "t\x89" + "NtRs";
}
std::string tensor_file(const std::string& offset, const std::string& sizes, const std::string& strides) {
  return legacy(tensor_state(4, offset, sizes, strides), std::string("]") + word("0") + "a", u64(4) + std::string(16, '\0'));
}

}  // namespace

TEST_CASE("pickle: globals outside the list are refused by name and nothing runs") {
  for (const char* file : {"evil_legacy.pth", "evil_zip.pth", "evil_protocol2.pkl", "evil_protocol4.pkl", "evil_text.pkl"}) {
    CAPTURE(file);
    const std::string message = refusal(text(kFolder / file));
    CHECK(message.find("system is not allowed") != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(refusal(text(kFolder / "evil_object.npy")).find("Python objects are not read") != std::string::npos);
  CHECK(refusal(legacy("cos\nsystem\n(X\x02\0\0\0idtR")).find("os.system") != std::string::npos);
  CHECK(refusal(legacy("c__builtin__\neval\n.")).find("__builtin__.eval") != std::string::npos);
  CHECK(refusal(legacy("ctorch\nCharStorage\n")).find("torch.CharStorage") != std::string::npos);
  CHECK(refusal(legacy("(ios\nsystem\n")).find("os.system") != std::string::npos);
  CHECK(!fs::exists("graft_was_here"));
}

TEST_CASE("pickle: tensors stay inside their storage") {
  CHECK(refusal(tensor_file("K\0", "K\x02K\x02", "K\x02K\x01")) != "accepted");  // the \0 ends the literal: a broken pickle
  const std::string zero("K\0", 2), one = "K\x01", two = "K\x02", three = "K\x03";
  CHECK(refusal(tensor_file(zero, two + two, two + one)) == "accepted");
  CHECK(refusal(tensor_file(zero, "K\x05", one)).find("expected within 4") != std::string::npos);
  CHECK(refusal(tensor_file(one, two + two, two + one)).find("expected within 4") != std::string::npos);
  CHECK(refusal(tensor_file(zero, two + two, three + one)).find("expected within 4") != std::string::npos);
  CHECK(refusal(tensor_file(integer(-1), two, one)).find("from 0") != std::string::npos);
  CHECK(refusal(tensor_file(zero, integer(-2), one)).find("from 0") != std::string::npos);
  CHECK(refusal(tensor_file(zero, two, integer(-1))).find("from 0") != std::string::npos);
  CHECK(refusal(tensor_file(zero, two, one + one)).find("as many strides") != std::string::npos);
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
  CHECK(refusal(tensor_file(zero, huge + huge, huge + one)).find("expected within 4") != std::string::npos);
  CHECK(refusal(tensor_file(huge, two, one)).find("expected within 4") != std::string::npos);
  CHECK(refusal(tensor_file(zero, integer(1 << 30), zero)).find("16 times") != std::string::npos);  // one element, a billion times
  // a storage that claims a terabyte
  const std::string claim = legacy(tensor_state(1 << 30, zero, two, one), std::string("]") + word("0") + "a", u64(1 << 30) + "few");
  CHECK(refusal(claim).find("cut short") != std::string::npos);
}

TEST_CASE("pickle: nesting, cycles and references without end stop at limits") {
  // a list that contains itself, reached through a dict
  CHECK(refusal(legacy("]q\x01h\x01"
                       "a"))
            .find("contain itself") != std::string::npos);
  // a thousand nested lists, and a state that doubles at every level
  CHECK(refusal(legacy(std::string(1000, ']') + std::string(999, 'a'))).find("64 levels") != std::string::npos);
  std::string doubling = "]q\x01";
  for (int i = 0; i < 40; ++i)
    doubling += std::string(
        "]q\x02(h\x01h\x01"
        "e0h\x02q\x01",
        14);
  CHECK(refusal(legacy(doubling)).find("items") != std::string::npos);
  CHECK(refusal(legacy(")R")).find("stack") != std::string::npos);
  CHECK(refusal(legacy("h\x07")).find("memo") != std::string::npos);
  CHECK(refusal(legacy("t")).find("mark") != std::string::npos);
  CHECK(refusal(legacy("(0")).find("stack") != std::string::npos);
  CHECK(refusal(legacy("X\xff\xff\xff\xff")).find("cut short") != std::string::npos);
}

TEST_CASE("zip: what an entry unpacks to is bounded by what is claimed, and the claim by deflate and the cap") {
  const std::string whole = text(kFolder / "arrays_compressed.npz");
  const size_t central = whole.find("PK\x01\x02");
  REQUIRE(central != whole.npos);
  for (const auto& [claim, words] : std::map<uint32_t, std::string>{
           {1, "expected 1 unpacked"}, {100'000'000, "cannot unpack"}, {4'200'000'000u, "cannot unpack"}}) {
    std::string s = whole;
    s.replace(central + 24, 4, u32(claim));
    CHECK(refusal(s).find(words) != std::string::npos);
  }
  std::string s = whole;
  s.replace(central + 16, 4, "abcd");
  CHECK(refusal(s).find("checksum") != std::string::npos);
  CHECK(refusal(std::string("PK\5\6", 4) + std::string(18, '\0')) == "accepted");  // an npz of nothing
}

TEST_CASE("npy: headers that lie") {
  auto npy = [](const std::string& header, size_t data) {
    const uint16_t n = uint16_t(header.size());
    return std::string("\x93NUMPY\1\0", 8) + std::string(reinterpret_cast<const char*>(&n), 2) + header + std::string(data, '\0');
  };
  CHECK(refusal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8)) == "accepted");
  CHECK(refusal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8)).find("expected 12 bytes") != std::string::npos);
  CHECK(refusal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000)}", 8)) != "accepted");
  CHECK(refusal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8)).find("size '-2") != std::string::npos);
  CHECK(refusal(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", 8)).find("got >f4") != std::string::npos);
  CHECK(refusal(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8)).find("structured") !=
        std::string::npos);
  CHECK(refusal(npy("{'descr': '<f4', 'shape': (2,)}", 8)).find("fewer keys") != std::string::npos);
  CHECK(refusal(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,2)}", 8)).find("dimensions") !=
        std::string::npos);
  CHECK(refusal(npy("", 0)) != "accepted");
}

TEST_CASE("weights: every prefix of every file is a LoadError") {
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") continue;
    CAPTURE(entry.path().filename().string());
    const std::string whole = text(entry.path());
    for (size_t n = 0; n < whole.size(); ++n) REQUIRE(refusal(std::string_view(whole).substr(0, n)) != "accepted");
  }
}

TEST_CASE("weights: flipped bytes are read or refused, never a crash") {
  int accepted = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") continue;
    CAPTURE(entry.path().filename().string());
    const std::string whole = text(entry.path());
    const Philox random{stream_key(3, entry.path().filename().string()), 0};
    for (uint64_t round = 0; round < 400; ++round) {
      std::string s = whole;
      for (uint64_t flip = 0; flip <= round % 4; ++flip) {
        const uint64_t i = (round * 4 + flip) * 2;
        s[random.below(i, s.size())] ^= char(1 + random.below(i + 1, 255));
      }
      (refusal(s) == "accepted" ? accepted : refused)++;
    }
  }
  CHECK(refused > 1000);
  CHECK(accepted > 100);  // damage to unprotected element bytes cannot be seen
}
