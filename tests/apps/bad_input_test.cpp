// Bad input and places that cannot be written: one line that says what and where, exit code 2, nothing lost or left behind.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/apps/run_tool.h"
#include "tests/harness/skip.h"
#include "tests/io/make_files.h"

using namespace graft;
using namespace graft::harness;
namespace fs = std::filesystem;

namespace {

const std::string kWeights = GRAFT_SOURCE_DIR "/tests/golden/weights/";

void refuses(const std::string& arguments, const std::string& what, const std::string& before = "") {
  const ToolRun r = run_tool(arguments, before);
  INFO(arguments, "\n", r.err);
  CHECK(r.code == 2);
  CHECK(lines(r.err) == 1);
  CHECK(r.out.empty());
  CHECK_MESSAGE(r.err.find(what) != std::string::npos, "expected to read: ", what);
}

void write(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}
void write(const fs::path& path, const io::Bytes& b) {
  write(path, std::string_view(reinterpret_cast<const char*>(b.data()), b.size()));
}

// Images of 8x8 pixels in train/ and test/, one folder per class; `first` shifts the names of the classes.
void make_images(const fs::path& folder, int classes, int first = 0) {
  for (const char* split : {"train", "test"})
    for (int c = 0; c < classes; ++c)
      for (int i = 0; i < 6; ++i)
        write(folder / split / ("class" + std::to_string(first + c)) / (std::to_string(i) + ".png"),
              io::test::make_png(io::test::pattern(8, 8, 3, 20 * c + i)));
}

std::string train(const std::string& data, const std::string& out) {
  return "train --model mlp --epochs 1 --batch 10 --data " + data + " --out " + out;
}

}  // namespace

TEST_CASE("devices that there are not") {
  const TemporaryFolder folder;
  make_images(folder / "data", 2);
  const std::string command = train(folder / "data", folder / "net.safetensors");
  refuses(command + " --device gpu", "device: expected cpu, cuda, cuda:N, emu or ref, got 'gpu'");
  refuses(command, "device: expected cpu", "GRAFT_DEVICE=tpu");
  refuses(command + " --device cuda:99", "cuda: no device");
  CHECK_FALSE(fs::exists(folder / "net.safetensors"));
}

TEST_CASE("weight files cut short, damaged or hostile") {
  const TemporaryFolder folder;
  for (const char* file :
       {"state.safetensors", "state_zip.pth", "state_legacy.pth", "arrays.npz", "arrays_compressed.npz", "version1.npy"}) {
    const std::string whole = read_text(kWeights + file);
    for (const size_t n : {whole.size() / 2, whole.size() - 20}) {
      write(folder / "cut", std::string_view(whole).substr(0, n));
      refuses("inspect " + (folder / "cut"), "cut: ");
      refuses("convert " + (folder / "cut") + " " + (folder / "out.npz"), "cut: ");
    }
  }
  std::string damaged = read_text(kWeights + "arrays.npz");
  damaged[200] ^= 1;  // a value of c_order
  write(folder / "damaged.npz", damaged);
  refuses("inspect " + (folder / "damaged.npz"), "damaged.npz");
  for (const char* file : {"evil_zip.pth", "evil_legacy.pth", "evil_protocol2.pkl", "evil_protocol4.pkl", "evil_text.pkl"})
    refuses("convert " + kWeights + file + " " + (folder / "out.npz"), "system is not allowed");
  CHECK_FALSE(fs::exists(folder / "out.npz"));
}

TEST_CASE("a header that claims a terabyte allocates nothing") {
  const TemporaryFolder folder;
  std::string header = R"({"a":{"dtype":"F32","shape":[250000000000],"data_offsets":[0,1000000000000]}})";
  header.resize(128, ' ');
  std::string size(8, '\0');
  size[0] = char(128);
  write(folder / "claim.safetensors", size + header + "0123456789abcdef");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // these map terabytes for themselves
  const std::string limit = "ASAN_OPTIONS=max_allocation_size_mb=600 TSAN_OPTIONS=max_allocation_size_mb=600 ";
#else
  const std::string limit = "ulimit -v 600000;";  // 600 MB of address space: the program fits, a terabyte does not
#endif
  refuses("inspect " + (folder / "claim.safetensors"), "cut short", limit);
}

TEST_CASE("image data: cut short, damaged, missing, with other classes; eval and predict on folders and archives") {
  const TemporaryFolder folder;
  make_images(folder / "five", 5);
  make_images(folder / "three", 3);
  make_images(folder / "other", 5, 3);
  const std::string weights = folder / "five.safetensors";
  const ToolRun trained = run_tool(train(folder / "five", weights) + " --json");
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(nlohmann::json::parse(trained.out)["items"] == 30);
  const std::string use = " --model mlp --weights " + weights + " --data ";
  const auto whole = nlohmann::json::parse(run_tool("eval --json" + use + (folder / "five")).out);
  CHECK(whole["items"] == 30);
  REQUIRE(std::system(("tar -C " + folder.path().string() + " -czf " + (folder / "five.tar.gz") + " five").c_str()) == 0);
  const auto packed = nlohmann::json::parse(run_tool("eval --json" + use + (folder / "five.tar.gz")).out);
  CHECK(packed["correct"] == whole["correct"]);
  CHECK(packed["loss"] == whole["loss"]);
  const auto predictions = nlohmann::json::parse(run_tool("predict --top 1 --json" + use + (folder / "five")).out)["predictions"];
  REQUIRE(predictions.size() == 30);
  CHECK(predictions[0]["file"] == "test/class0/0.png");
  CHECK(predictions[0]["top"][0]["class"].get<std::string>().starts_with("class"));

  refuses("eval" + use + (folder / "three"), "5 outputs");
  refuses("eval" + use + (folder / "other"), "'class0'");
  CHECK(run_tool("eval --classes 5" + use + (folder / "other")).code == 0);
  refuses("eval" + use + (folder / "absent/images"), "absent/images");
  const std::string archive = read_text(folder / "five.tar.gz"), png = read_text(folder / "five/test/class0/0.png");
  write(folder / "cut.tar.gz", std::string_view(archive).substr(0, archive.size() - 9));
  refuses("eval" + use + (folder / "cut.tar.gz"), "cut.tar.gz");
  write(folder / "five/test/class0/0.png", std::string_view(png).substr(0, png.size() - 5));
  refuses("eval" + use + (folder / "five"), "class0/0.png");
  write(folder / "five/test/class0/0.png", "\xff\xd8\xff\xe0 no picture");
  refuses("eval" + use + (folder / "five"), "class0/0.png");
}

TEST_CASE("train: places that cannot be written show before the work, and the old file stays") {
  const TemporaryFolder folder;
  make_images(folder / "data", 3);
  const std::string data = folder / "data", out = folder / "old.safetensors";
  write(folder / "file", "");
  write(out, "old");
  refuses(train(data, folder / "file/below/w.safetensors"), "file/below: the folder cannot be made");
  refuses("convert " + kWeights + "state.safetensors " + (folder / "file/x.npz"), "file/x.npz: cannot write");
  for (const std::string& where : {out, std::string("/dev/full")}) {
    const ToolRun r = run_tool(train(data, where), "ulimit -f 1;");  // half a kibibyte
    CHECK(r.code == 2);
    CHECK(r.err.find(where + ": cannot write") != std::string::npos);
  }
  CHECK(read_text(out) == "old");
  refuses("convert " + kWeights + "state.safetensors " + out,
          "old.safetensors: cannot write: File too large (the old file is unchanged)", "ulimit -f 1;");
  CHECK(read_text(out) == "old");
  for (const auto& entry : fs::directory_iterator(folder.path())) CHECK(entry.path().string().find(".tmp") == std::string::npos);
}

TEST_CASE("train: what diverges is not written; weights that are not finite are refused by name") {
  const TemporaryFolder folder;
  make_images(folder / "data", 3);
  const std::string out = folder / "w.safetensors";
  const ToolRun diverged = run_tool(train(folder / "data", out) + " --lr 1e30 --json");
  CHECK(diverged.code == 2);
  CHECK(diverged.err.find("diverged in step") != std::string::npos);
  CHECK(nlohmann::json::parse(diverged.out)["status"] == "diverged");
  CHECK_FALSE(fs::exists(out));
  REQUIRE(run_tool(train(folder / "data", out)).code == 0);
  std::string bytes = read_text(out);
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));
  write(out, bytes);
  CHECK(nlohmann::json::parse(run_tool("inspect --json " + out).out)["nan"] == 1);
  refuses("eval --model mlp --weights " + out + " --data " + (folder / "data"), "not finite: ");
  refuses("train --model mlp --weights " + out + " --data " + (folder / "data"), "not finite: ");
}

TEST_CASE("names: the nearest one is suggested") {
  const TemporaryFolder folder;
  make_images(folder / "data", 3);
  const std::string mlp = "train --model mlp --data " + (folder / "data");
  refuses("train --data x --model resnet21", "did you mean 'resnet20'?");
  refuses("train --data fashion-mnst", "did you mean 'fashion-mnist'?");
  refuses(mlp + " --schedule cosin", "did you mean 'cosine'?");
  refuses(mlp + " --init he_norml", "did you mean 'he_normal'?");
  refuses(mlp + " --freeze conv9", "'conv9' matches nothing");
  refuses(mlp + " --fresh 'fc.*'", "--weights");
  refuses(mlp + " --epohcs 3", "did you mean --epochs?");
  refuses("eval --modl mlp", "did you mean --model?");
  refuses("trian", "did you mean 'train'?");
}

TEST_CASE("train --config: keys are the flags, the command line comes first, typos are errors") {
  const TemporaryFolder folder;
  make_images(folder / "data", 3);
  const std::string file = folder / "train.toml", head = "model = 'mlp'\ndata = '" + (folder / "data") + "'\n";
  write(file, head + "epochs = 1\nbatch = 10\nlr = 0.01\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\njson = true\n");
  const auto steps = [&](const std::string& more) {
    return nlohmann::json::parse(run_tool("train --config " + file + more).out)["steps"];
  };
  CHECK(steps("") == 2);
  CHECK(steps(" --epochs 3") == 6);
  write(file, head + "epoch = 1\n");
  refuses("train --config " + file, "train.toml:3: unknown key 'epoch' (did you mean 'epochs'?)");
  write(file, head + "epochs = 'many'\n");
  refuses("train --config " + file, "train.toml:3");
  write(file, head + "epochs = \n");
  refuses("train --config " + file, "train.toml:3");
  refuses("train --config " + (folder / "absent.toml"), "absent.toml");
}

TEST_CASE("standard output: full is an error, a reader that has gone is none") {
  CHECK(run_tool("inspect " + kWeights + "state.safetensors >/dev/full; exit $? #").code == 2);
  CHECK(run_tool("datasets | true").code == 0);
}
