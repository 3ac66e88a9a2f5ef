// Downloading, from file:// addresses in a temporary folder.
#include "io/datasets/fetch.h"

#include "tests/io/helpers.h"
#include "tests/io/make_files.h"

using namespace graft;
using namespace graft::io;
using namespace graft::io::test;

namespace {

struct Remote {
  TemporaryFolder folder;
  Bytes content = to_bytes("the content of a data set, long enough to be cut in two");
  std::filesystem::path to = folder.path() / "cache";

  CatalogEntry entry(std::string hash, int64_t bytes) {
    const auto path = folder.write("remote/a.bin", content);
    CatalogEntry e;
    e.name = "made";
    e.files = {{"made/a.bin", bytes, std::move(hash), fmt::format("file://{}", path.string())}};
    return e;
  }
  CatalogEntry right() { return entry(sha256(content), int64_t(content.size())); }
  bool nothing_left() const { return !std::filesystem::exists(to / "made") || std::filesystem::is_empty(to / "made"); }
};

}  // namespace

TEST_CASE("fetch: downloads, verifies, and does not download twice") {
  Remote r;
  int calls = 0;
  const auto first = fetch(r.right(), {r.to, [&](const CatalogFile&, int64_t, int64_t) { ++calls; }});
  CHECK(first.files[0].downloaded);
  CHECK(first.files[0].verified);
  CHECK(calls > 0);
  CHECK(read_file(r.to / "made/a.bin") == r.content);
  const auto second = fetch(r.right(), {r.to, {}});
  CHECK(!second.files[0].downloaded);
  CHECK(contains(second.text(), "already there"));
  CHECK(contains(second.json(), "\"downloaded\": false"));
}

TEST_CASE("fetch: a wrong hash or size is refused and nothing is left behind") {
  Remote r;
  const std::string wrong(64, '0');
  const std::string text = message_of<LoadError>([&] { fetch(r.entry(wrong, int64_t(r.content.size())), {r.to, {}}); });
  CHECK(contains(text, "expected sha256 " + wrong + ", got " + sha256(r.content)));
  CHECK(r.nothing_left());
  CHECK_THROWS_AS(fetch(r.entry(sha256(r.content), 10), {r.to, {}}), LoadError);
  CHECK(r.nothing_left());
  CHECK_THROWS_AS(fetch(r.entry(sha256(r.content), 1000), {r.to, {}}), LoadError);
  CHECK(r.nothing_left());
}

TEST_CASE("fetch: a file without a known hash is fetched and says so") {
  Remote r;
  const auto result = fetch(r.entry("", 0), {r.to, {}});
  CHECK(!result.files[0].verified);
  CHECK(contains(result.text(), "NOT VERIFIED"));
}

TEST_CASE("fetch: a broken download is continued, a wrong beginning shows") {
  Remote r;
  const Bytes head(r.content.begin(), r.content.begin() + 20);
  r.folder.write("cache/made/a.bin.part", head);
  CHECK(fetch(r.right(), {r.to, {}}).files[0].downloaded);
  CHECK(read_file(r.to / "made/a.bin") == r.content);
  std::filesystem::remove(r.to / "made/a.bin");
  r.folder.write("cache/made/a.bin.part", Bytes(20));
  CHECK_THROWS_AS(fetch(r.right(), {r.to, {}}), LoadError);
  CHECK(r.nothing_left());
  CHECK(fetch(r.right(), {r.to, {}}).files[0].downloaded);
}

TEST_CASE("fetch: a damaged file in the cache is replaced") {
  Remote r;
  r.folder.write("cache/made/a.bin", to_bytes("damaged"));
  CHECK(fetch(r.right(), {r.to, {}}).files[0].downloaded);
  CHECK(read_file(r.to / "made/a.bin") == r.content);
}

TEST_CASE("fetch: the hash may be of the unpacked content") {
  Remote r;
  const Bytes plain = r.content;
  r.content = gzip(plain);
  CatalogEntry e = r.entry(sha256(plain), int64_t(plain.size()));
  e.files[0].unpacked = true;
  CHECK(fetch(e, {r.to, {}}).files[0].verified);
  r.content.resize(r.content.size() - 3);
  std::filesystem::remove_all(r.to);
  CatalogEntry cut = r.entry(sha256(plain), int64_t(plain.size()));
  cut.files[0].unpacked = true;
  CHECK(contains(message_of<LoadError>([&] { fetch(cut, {r.to, {}}); }), "truncated gzip stream"));
  CHECK(r.nothing_left());
}

TEST_CASE("fetch: missing remotes, sets without an address, folders that cannot be made, and a caller that stops") {
  Remote r;
  CatalogEntry gone = r.right();
  gone.files[0].url += ".gone";
  CHECK(contains(message_of<LoadError>([&] { fetch(gone, {r.to, {}}); }), "cannot be fetched"));
  CHECK(!std::filesystem::exists(r.to / "made/a.bin"));
  CHECK(contains(message_of<LoadError>([&] { fetch(find_entry("usps"), {r.to, {}}); }), "has no public address"));
  CHECK(contains(message_of<LoadError>([&] { fetch(r.right(), {"/dev/null/x", {}}); }), "cannot be made"));
  CHECK_THROWS_AS(fetch(r.right(), {r.to, [](const CatalogFile&, int64_t, int64_t) { throw Interrupted("stopped"); }}),
                  Interrupted);
  CHECK(!std::filesystem::exists(r.to / "made/a.bin"));
}
