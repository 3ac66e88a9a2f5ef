#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/apps/run_tool.h"
#include "tests/harness/skip.h"

using namespace graft::harness;

namespace {

// Bad input: one line on standard error that says what and where, nothing on standard output, exit code 2.
void refuses(const std::string& arguments, const std::string& what, const std::string& before = "") {
  const ToolRun r = run_tool(arguments, before);
  INFO(arguments, "\n", r.err);
  CHECK(r.code == 2);
  CHECK(lines(r.err) == 1);
  CHECK(r.out.empty());
  CHECK_MESSAGE(r.err.find(what) != std::string::npos, "expected to read: ", what);
}

constexpr const char* kVerbs[] = {"study",   "report",  "merge",    "train", "eval",    "predict",
                                  "inspect", "convert", "datasets", "fetch", "devices", "bench"};

}  // namespace

TEST_CASE("every verb explains itself, with examples") {
  CHECK(run_tool("--help").code == 0);
  CHECK(run_tool("--version").out.substr(0, 6) == "graft ");
  for (const char* verb : kVerbs) {
    const ToolRun r = run_tool(std::string(verb) + " --help");
    INFO(verb);
    CHECK(r.code == 0);
    CHECK(r.out.find(std::string("Examples:\n  graft ") + verb) != std::string::npos);
    CHECK(r.out.find("--json") != std::string::npos);
  }
}

TEST_CASE("the examples of --help are accepted as they stand") {
  for (const char* verb : kVerbs) {
    std::istringstream help(run_tool(std::string(verb) + " --help").out);
    for (std::string line; std::getline(help, line);) {
      if (line.rfind("  graft ", 0) != 0) continue;
      // "--help" last: parsed up to there with every option checked, then not run.
      const ToolRun r = run_tool(line.substr(8) + " --help");
      INFO(line, "\n", r.err);
      CHECK(r.code == 0);
    }
  }
}

TEST_CASE("wrong usage is one line, with a suggestion, and exit code 2") {
  refuses("", "subcommand");
  refuses("sudy examples/demo.toml", "did you mean 'study'?");
  refuses("study x.toml --seedz 3", "did you mean --seeds?");
  refuses("study", "config");
  refuses("study x.toml --seeds 0", "--seeds");
  refuses("train --data fashion-mnist --epochs zero", "--epochs");
  refuses("inspect", "file");
  refuses("bench matmull", "did you mean 'matmul'?");
  refuses("bench matmul --suite resnet5", "did you mean 'resnet50'?");
  refuses("bench matmul --device emu", "emu is a debugging device");
  refuses("bench matmul --plot roofline.gif", "roofline.gif");
  refuses("bench --table absent.json", "absent.json");
}

TEST_CASE("bench verifies every version of a ladder without a GPU, and lists what it would time") {
  const ToolRun r = run_tool("bench matmul --ladder --device emu --verify-only --shape 'm=5 n=7'");
  INFO(r.out, r.err);
  CHECK(r.code == 0);
  CHECK(r.out.find("verified  matmul forward f32 graft v2 coalesced batch=3 m=5 n=7 k=11 nn (ref f64)") != std::string::npos);
  CHECK(r.out.find(" 0 wrong") != std::string::npos);
  CHECK(run_tool("bench conv2d --suite vgg --list").out.find("n=4 224x224x3 out=64 kernel=3x3") != std::string::npos);
}

TEST_CASE("files that are not there or not what they claim") {
  const TemporaryFolder folder;
  refuses("inspect " + (folder / "absent.pth"), "absent.pth");
  std::ofstream(folder / "text.pth") << "this is no weight file";
  refuses("inspect " + (folder / "text.pth"), "text.pth");
  refuses("convert " + (folder / "text.pth") + " " + (folder / "out.npz"), "text.pth");
  CHECK_FALSE(std::filesystem::exists(folder / "out.npz"));
  refuses("study " + (folder / "absent.toml"), "absent.toml");
  std::ofstream(folder / "typo.toml") << "name = 'x'\nmodle = 'study_cnn'\n";
  refuses("study " + (folder / "typo.toml"), "modle");
  refuses("report " + folder.path().string(), folder.path().string());
  refuses("fetch fashion-mnst", "fashion-mnist");
  refuses("eval --model resnet20 --weights x --data fashion-mnst", "fashion-mn");
}

TEST_CASE("json on standard output is one object") {
  for (const char* verb : {"datasets", "devices"}) {
    const ToolRun r = run_tool(std::string(verb) + " --json");
    CHECK(r.code == 0);
    CHECK(nlohmann::json::parse(r.out).is_object());
  }
}

TEST_CASE("a full standard output is an error") {
  const ToolRun r = run_tool("datasets >/dev/full; exit $? #");
  CHECK(r.code == 2);
}

TEST_CASE("published weights: inspect, convert, eval") {
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet20-12fca82f.th");
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  const TemporaryFolder folder;
  const std::string weights = data_path("resnet-cifar10/resnet20-12fca82f.th").string();
  const auto inspected = nlohmann::json::parse(run_tool("inspect --json " + weights).out);
  CHECK(inspected["parameters"] == 269722);
  CHECK(run_tool("convert " + weights + " " + (folder / "r.safetensors")).code == 0);
  for (const std::string& file : {weights, folder / "r.safetensors"}) {
    const ToolRun r = run_tool("eval --json --model resnet20 --weights " + file + " --data cifar10-test5000");
    INFO(r.err);
    REQUIRE(r.code == 0);
    const auto j = nlohmann::json::parse(r.out);
    CHECK(j["items"] == 5000);
    CHECK(std::abs(j["correct"].get<int>() - 4578) <= 2);  // counted by PyTorch on the same files
  }
}
