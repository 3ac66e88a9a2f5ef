// Archives, IDX, CIFAR and images: round trips, and what damaged or hostile files get.
#include <algorithm>

#include "io/archive.h"
#include "io/cifar.h"
#include "io/idx.h"
#include "io/images.h"
#include "io/resize.h"
#include "tests/io/helpers.h"
#include "tests/io/make_files.h"

using namespace graft;
using namespace graft::io;
using namespace graft::io::test;

namespace {

const std::vector<std::pair<std::string, Bytes>> kMembers = {
    {"a/one.txt", to_bytes("one")}, {"b/empty", {}}, {"b/two.bin", Bytes(1500, std::byte{42})}};

std::vector<std::pair<std::string, Bytes>> members_of(ByteSpan archive, UnpackLimits limits = {}) {
  std::vector<std::pair<std::string, Bytes>> out;
  for_each_member(
      archive, "x", [&](const std::string& name, Bytes content) { out.emplace_back(name, std::move(content)); }, limits);
  return out;
}

}  // namespace

TEST_CASE("archive: members come out of tar, tar.gz, tar.xz and zip as they went in") {
  for (Packing p : {Packing::tar, Packing::tar_gz, Packing::tar_xz, Packing::zip}) CHECK(members_of(pack(kMembers, p)) == kMembers);
}

TEST_CASE("archive: every truncation is refused") {
  // A tar is whole once one block of zeros follows the last member.
  const auto parse = [](ByteSpan b) { members_of(b); };
  const Bytes tar = pack(kMembers, Packing::tar);
  check_every_prefix(tar, parse, tar.size() - 512);
  check_every_prefix(pack(kMembers, Packing::tar_gz), parse);
  check_every_prefix(pack(kMembers, Packing::tar_xz), parse);
}

TEST_CASE("archive: a flipped byte in a gzip stream shows in its check sum") {
  const Bytes good = gzip(to_bytes("the quick brown fox jumps over the lazy dog, again and again and again"));
  for (size_t i = 10; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{0x10};
    CHECK_THROWS_AS(gunzip(bad, "x"), LoadError);
  }
}

TEST_CASE("archive: what unpacks to more than a limit is refused") {
  const Bytes bomb = pack({{"zeros", Bytes(4 << 20)}}, Packing::tar_gz);
  CHECK(bomb.size() < 20000);
  CHECK(message_of<LoadError>([&] { members_of(bomb, {.entry = 1 << 20}); }) ==
        "x: member zeros: unpacks to more than 1048576 bytes");
  CHECK(message_of<LoadError>([&] { members_of(bomb, {.total = 1 << 20}); }) == "x: unpacks to more than 1048576 bytes");
  CHECK_THROWS_AS(members_of(pack({{"zeros", Bytes(4 << 20)}}, Packing::zip), {.entry = 1 << 20}), LoadError);
  CHECK_THROWS_AS(members_of(pack({{"zeros", Bytes(4 << 20)}}, Packing::tar_xz), {.total = 1 << 20}), LoadError);
  CHECK_THROWS_AS(gunzip(gzip(Bytes(100)), "x", 99), LoadError);
  CHECK_NOTHROW(gunzip(gzip(Bytes(100)), "x", 100));
  CHECK_THROWS_AS(members_of(pack(kMembers, Packing::tar), {.members = 2}), LoadError);
}

TEST_CASE("archive: other files and folders are refused with a clear text") {
  CHECK(contains(message_of<LoadError>([] { members_of(to_bytes("not an archive at all")); }), "cannot be unpacked"));
  CHECK_THROWS_AS(members_of({}), LoadError);
  const TemporaryFolder folder;
  CHECK(contains(message_of<LoadError>([&] { read_file(folder.path()); }), "expected a file, got a folder"));
  CHECK(contains(message_of<LoadError>([&] { read_file(folder.path() / "none"); }), "No such file"));
}

TEST_CASE("gunzip: concatenated streams are one") {
  Bytes two = gzip(to_bytes("ab"));
  const Bytes second = gzip(to_bytes("cd"));
  two.insert(two.end(), second.begin(), second.end());
  CHECK(gunzip(two, "x") == to_bytes("abcd"));
}

TEST_CASE("file: SHA-256 of the published test vectors") {
  CHECK(sha256({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256(to_bytes("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("idx: round trip, plain and gzip; every truncation is refused") {
  const Tensor t = Tensor::from<uint8_t>({1, 2, 3, 4, 5, 6, 250, 255}, {2, 2, 2});
  const Bytes bytes = write_idx(t);
  CHECK(bytes.size() == 4 + 12 + 8);
  const Tensor back = parse_idx(bytes, "x");
  CHECK(back.shape() == t.shape());
  CHECK(std::equal(back.span<uint8_t>().begin(), back.span<uint8_t>().end(), t.span<uint8_t>().begin()));
  check_every_prefix(bytes, [](ByteSpan b) { parse_idx(b, "x"); });
  const TemporaryFolder folder;
  CHECK(read_idx(folder.write("a", bytes)).shape() == t.shape());
  CHECK(read_idx(folder.write("a.gz", gzip(bytes))).shape() == t.shape());
}

TEST_CASE("idx: wrong magic, type, rank, sizes and excess are named") {
  Bytes bytes = write_idx(Tensor::from<uint8_t>({1, 2, 3, 4}, {4}));
  const auto with = [&](size_t at, int value) {
    Bytes b = bytes;
    b[at] = std::byte(value);
    return message_of<LoadError>([&] { parse_idx(b, "f"); });
  };
  CHECK(with(0, 1) == "f: expected IDX (first bytes 00 00), got something else");
  CHECK(with(2, 0x0d) == "f: IDX: expected element type 08 (unsigned byte), got 0d");
  CHECK(with(3, 0) == "f: IDX: expected rank 1 to 4, got 0");
  CHECK(with(3, 5) == "f: IDX: expected rank 1 to 4, got 5");
  CHECK(with(7, 5) == "f: IDX: expected 5 bytes after the header, got 4");
  CHECK(with(7, 3) == "f: IDX: expected 3 bytes after the header, got 4");
  CHECK(with(4, 0xff) == "f: IDX: the header claims more than the 12 bytes of the file");
}

TEST_CASE("cifar: planes become pixels, labels are checked, lengths are whole records") {
  Bytes record(3073);
  record[0] = std::byte{7};
  for (int p = 0; p < 1024; ++p)
    for (int c = 0; c < 3; ++c) record[size_t(1 + c * 1024 + p)] = std::byte(p % 80 + 80 * c);
  const CifarBatch batch = parse_cifar(record, Cifar::cifar10, "f");
  CHECK(batch.images.shape() == Shape{1, 32, 32, 3});
  CHECK(batch.labels.data<int64_t>()[0] == 7);
  CHECK(batch.images.data<uint8_t>()[3 * 100 + 1] == 100 % 80 + 80);
  check_every_prefix(record, [](ByteSpan b) { parse_cifar(b, Cifar::cifar10, "f"); });
  record[0] = std::byte{10};
  CHECK(message_of<LoadError>([&] { parse_cifar(record, Cifar::cifar10, "f"); }) == "f: CIFAR: record 0: label 10 of 10 classes");
  Bytes fine(3074);
  fine[1] = std::byte{99};
  CHECK(parse_cifar(fine, Cifar::cifar100, "f").labels.data<int64_t>()[0] == 99);
}

TEST_CASE("images: PNG and BMP are exact, JPEG is near") {
  for (int64_t channels : {1, 3}) {
    const Image image = pattern(9, 13, channels);
    CHECK(decode_image(make_png(image), "x").pixels == image.pixels);
    CHECK(decode_image(make_bmp(image), "x", channels).pixels == image.pixels);
    const Image jpeg = decode_image(make_jpeg(image, 95), "x", channels);
    REQUIRE(jpeg.pixels.size() == image.pixels.size());
  }
  Image smooth{16, 16, 3, {}};
  for (int i = 0; i < 16 * 16 * 3; ++i) smooth.pixels.push_back(uint8_t(100 + i / 48));
  const Image back = decode_image(make_jpeg(smooth, 100), "x");
  for (size_t i = 0; i < back.pixels.size(); ++i) CHECK(std::abs(int(back.pixels[i]) - int(smooth.pixels[i])) <= 3);
  CHECK(decode_image(make_png(pattern(4, 4, 1)), "x", 3).channels == 3);
  CHECK(decode_image(make_png(pattern(4, 4, 4)), "x").channels == 3);
}

TEST_CASE("images: every truncation is refused") {
  const auto parse = [](ByteSpan b) { decode_image(b, "x"); };
  check_every_prefix(make_png(pattern(5, 7, 3)), parse);
  check_every_prefix(make_jpeg(pattern(17, 9, 3), 80), parse);
  check_every_prefix(make_bmp(pattern(5, 7, 3)), parse);
}

TEST_CASE("images: a corrupt PNG, an absurd size and other formats are refused") {
  Bytes png = make_png(pattern(5, 7, 3));
  for (size_t i = 0; i < png.size(); ++i) {
    Bytes bad = png;
    bad[i] ^= std::byte{0x20};
    CHECK_THROWS_AS(decode_image(bad, "x"), LoadError);
  }
  Bytes bmp = make_bmp(pattern(2, 2, 3));
  bmp[20] = bmp[24] = std::byte{0x10};  // 2^20 pixels and more on each side
  CHECK_THROWS_AS(decode_image(bmp, "x"), LoadError);
  CHECK(message_of<LoadError>([] { decode_image(to_bytes("GIF89a"), "f.gif"); }) == "f.gif: expected a PNG, JPEG or BMP image");
  CHECK_THROWS_AS(decode_image(png, "x", 2), ConfigError);
}

TEST_CASE("images: a JPEG whose Huffman table has more than 256 symbols is refused before it is decoded") {
  Bytes jpeg = make_jpeg(pattern(8, 8, 3), 80);
  const Bytes marker = {std::byte{0xff}, std::byte{0xc4}};
  const auto table = std::search(jpeg.begin(), jpeg.end(), marker.begin(), marker.end());
  REQUIRE(table != jpeg.end());
  std::fill_n(table + 5, 16, std::byte{0xff});
  CHECK(message_of<LoadError>([&] { decode_image(jpeg, "f"); }) == "f: JPEG: corrupt Huffman table");
}

TEST_CASE("resize: constants stay, means stay, identity is exact, twice as small averages") {
  const Image image = pattern(12, 10, 3);
  CHECK(resize(image, 12, 10).pixels == image.pixels);
  Image grey{7, 5, 1, std::vector<uint8_t>(35, 93)};
  for (uint8_t p : resize(grey, 11, 3).pixels) CHECK(p == 93);
  // Halving: triangle of half width 2, weights 1 3 3 1 over 8 inside, 3 3 1 over 7 at the edge.
  const Image row{1, 4, 1, {0, 80, 160, 240}};
  CHECK(resize(row, 1, 2).pixels ==
        std::vector<uint8_t>{uint8_t((3 * 0 + 3 * 80 + 160 + 3) / 7), uint8_t((80 + 3 * 160 + 3 * 240 + 3) / 7)});
  CHECK(resize_and_crop(pattern(20, 40, 3), 10).pixels.size() == 300);
  CHECK_THROWS_AS(resize(image, 0, 4), ConfigError);
}
