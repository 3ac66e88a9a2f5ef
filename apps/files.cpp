// The verbs about files: inspect, convert, datasets, fetch.
#include <fmt/core.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/output.h"
#include "apps/verbs.h"
#include "io/datasets/catalog.h"
#include "io/datasets/fetch.h"
#include "io/weights/convert.h"
#include "io/weights/inspect.h"
#include "kernels/common/error.h"

namespace graft::apps {

int inspect(const std::string& file, bool json) {
  const auto found = io::inspect(file);
  print_result("{}\n", json ? io::to_json(found) : io::to_text(found));
  return kDone;
}

int convert(const std::string& in, const std::string& out, bool json) {
  const auto c = io::convert(in, out);
  if (json)
    print_result(
        "{}\n",
        nlohmann::ordered_json{
            {"in", in}, {"out", out}, {"from", name(c.from)}, {"to", name(c.to)}, {"tensors", c.tensors}, {"bytes", c.bytes}}
            .dump());
  else print_result("{} ({}) -> {} ({}): {} tensors, {} bytes\n", in, name(c.from), out, name(c.to), c.tensors, c.bytes);
  return kDone;
}

int datasets(bool json) {
  if (json) print_result("{{\"datasets\": {}}}\n", io::catalog_json());
  else print_result("{}", io::catalog_table());
  return kDone;
}

int fetch(const std::string& name, bool json) {
  io::FetchOptions options;
  options.progress = [&](const io::CatalogFile& file, int64_t done, int64_t total) {
    check<Interrupted>(!interrupted, "interrupted: what was fetched is kept, the same command goes on");
    if (!isatty(STDERR_FILENO)) return;
    if (total) print_progress("\r{}  {:.1f} of {:.1f} MB ", file.path, double(done) / 1e6, double(total) / 1e6);
    else print_progress("\r{}  {:.1f} MB ", file.path, double(done) / 1e6);
  };
  const auto result = io::fetch(io::find_entry(name), options);
  if (isatty(STDERR_FILENO)) print_progress("\n");
  print_result("{}\n", json ? result.json() : result.text());
  return kDone;
}

}  // namespace graft::apps
