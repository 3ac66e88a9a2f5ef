#include "apps/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/common/error.h"

namespace graft::apps {
namespace {

// 0, or the error that ended it.
int write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor, text.data(), text.size());
    if (n >= 0) text.remove_prefix(size_t(n));
    else if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

void write_result(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  check<Error>(error == 0 || error == EPIPE, "standard output: cannot write: {}", std::strerror(error));
}

void write_progress(std::string_view text) { write_all(STDERR_FILENO, text); }

}  // namespace graft::apps
