// PyTorch in a process of its own (GRAFT_PYTORCH=PYTHON), in turns with the other candidates: bench/baselines/pytorch_ops.py.
// Arguments go there and back through files in memory that both map.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/baselines/baselines.h"
#include "kernels/common/error.h"

namespace graft::bench {
namespace {

using nlohmann::json;

// Below the working folder, or below a folder that holds this program.
std::string script() {
  const std::filesystem::path name = "bench/baselines/pytorch_ops.py";
  if (std::filesystem::exists(name)) return name;
  std::error_code none;
  for (auto p = std::filesystem::read_symlink("/proc/self/exe", none); p.has_relative_path(); p = p.parent_path())
    if (std::filesystem::exists(p.parent_path() / name)) return p.parent_path() / name;
  throw ConfigError("GRAFT_PYTORCH: bench/baselines/pytorch_ops.py is not below the working folder");
}

class Python {
 public:
  Python(const char* interpreter, int threads) {
    int down[2], up[2];
    check<Error>(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0, "GRAFT_PYTORCH: no pipe");
    setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);
    setenv("GOMP_SPINCOUNT", "10000", 0);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, down[0], 0);
    posix_spawn_file_actions_adddup2(&files, up[1], 1);
    const std::string path = script();
    const char* words[] = {interpreter, path.c_str(), nullptr};
    const int error = posix_spawnp(&child_, interpreter, &files, nullptr, const_cast<char**>(words), environ);
    posix_spawn_file_actions_destroy(&files);
    close(down[0]), close(up[1]);
    check<ConfigError>(error == 0, "GRAFT_PYTORCH: {}: {}", interpreter, std::strerror(error));
    to_ = fdopen(down[1], "w"), from_ = fdopen(up[0], "r");
  }
  ~Python() {
    fclose(to_), fclose(from_);  // the end of its input ends it
    waitpid(child_, nullptr, 0);
  }
  Python(const Python&) = delete;

  json ask(const json& request) {
    const std::string line = request.dump() + "\n";
    std::fwrite(line.data(), 1, line.size(), to_);
    std::fflush(to_);
    std::string answer;
    for (int c; (c = std::fgetc(from_)) != EOF && c != '\n';) answer += char(c);
    check<Error>(!answer.empty(), "GRAFT_PYTORCH: the process has ended (does this Python have torch and numpy?)");
    return json::parse(answer);
  }

 private:
  pid_t child_ = 0;
  FILE *to_ = nullptr, *from_ = nullptr;
};

// The arguments of one case as files in memory.
class Shared {
 public:
  Shared(const harness::Case& c, DType real) {
    static int number = 0;
    const auto dtypes = c.dtypes(real);
    for (size_t i = 0; i < c.args.size(); ++i) {
      const size_t bytes = c.args[i].role == harness::Arg::absent ? 0 : size_t(c.args[i].n) * dtype_size(dtypes[i]);
      File f{nullptr, bytes, ""};
      if (bytes) {
        f.path = fmt::format("/dev/shm/graft-bench-{}-{}", getpid(), number++);
        const int d = open(f.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        check<Error>(d >= 0 && ftruncate(d, off_t(bytes)) == 0, "{}: cannot be made: {}", f.path, std::strerror(errno));
        f.data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d, 0);
        close(d);
        check<Error>(f.data != MAP_FAILED, "{}: cannot be mapped", f.path);
      }
      described_.push_back({{"file", f.path}, {"dtype", name(dtypes[i])}, {"n", c.args[i].n}});
      files_.push_back(f);
    }
  }
  ~Shared() {
    for (const File& f : files_)
      if (f.bytes) munmap(f.data, f.bytes), unlink(f.path.c_str());
  }
  Shared(const Shared&) = delete;

  const json& described() const { return described_; }
  void take(Device& device, const std::vector<void*>& args) {
    for (size_t i = 0; i < files_.size(); ++i)
      if (files_[i].bytes) device.read(files_[i].data, args[i], files_[i].bytes);
  }
  void give(Device& device, const std::vector<void*>& args) {
    for (size_t i = 0; i < files_.size(); ++i)
      if (files_[i].bytes) device.write(args[i], files_[i].data, files_[i].bytes);
  }

 private:
  struct File {
    void* data;
    size_t bytes;
    std::string path;
  };
  std::vector<File> files_;
  json described_ = json::array();
};

std::vector<Candidate> make(Device& device, const harness::Case& c, DType real) {
  const char* interpreter = std::getenv("GRAFT_PYTORCH");
  if (!interpreter || !*interpreter) return {};
  const int threads = device.backend() == Backend::cpu ? device.context().pool().size() : 1;
  static std::shared_ptr<Python> python = std::make_shared<Python>(interpreter, threads);
  const auto shared = std::make_shared<Shared>(c, real);
  json outputs = json::array();
  for (size_t i = 0; i < c.args.size(); ++i)
    if (harness::is_output(c.args[i])) outputs.push_back(i);
  const json answer = python->ask(
      {{"case",
        {{"op", name(c.op)}, {"pass", name(c.pass)}, {"shape", c.name}, {"dtype", name(real)}, {"device", name(device.backend())}}},
       {"args", shared->described()},
       {"outputs", outputs}});
  if (!answer["ok"]) return {};
  Candidate one{"pytorch " + answer["version"].get<std::string>()};
  one.skips = answer["skips"].get<std::vector<size_t>>();
  one.run = [shared, &device](std::vector<void*>& args) {
    shared->take(device, args);
    const json ran = python->ask({{"run", true}});
    check<Error>(ran["ok"], "pytorch: {}", ran.value("why", ""));
    shared->give(device, args);
  };
  one.time = [](int calls, Cache cache) {
    const json t = python->ask({{"calls", calls}, {"cold", cache == Cache::cold}});
    check<Error>(t.contains("seconds"), "pytorch: {}", t.value("why", ""));
    return Timing{t["seconds"], t["disturbed"]};
  };
  return {one};
}

const RegisterBaseline cpu(Backend::cpu, make), cuda(Backend::cuda, make);

}  // namespace
}  // namespace graft::bench
