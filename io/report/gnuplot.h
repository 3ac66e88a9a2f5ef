// Pictures by gnuplot. A header alone: the benchmark draws too, and links kernels only.
#pragma once
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/common/error.h"

namespace graft::io {

inline bool have_gnuplot() {
  static const bool have = std::system("command -v gnuplot >/dev/null 2>&1") == 0;
  return have;
}

inline std::string gnuplot_quoted(std::string_view s) {
  std::string q = "'";
  for (char c : s) q += c == '\'' ? std::string("''") : std::string(1, c);
  return q + "'";
}

// Runs gnuplot on a script and returns what it prints. Error when it fails.
inline std::string gnuplot(const std::string& script) {
  FILE* file = std::tmpfile();  // not a pipe: a long script and a long picture would wait for each other
  check<Error>(file, "gnuplot: no temporary file");
  std::fwrite(script.data(), 1, script.size(), file);
  std::rewind(file);
  int out[2];
  check<Error>(pipe2(out, O_CLOEXEC) == 0, "gnuplot: no pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(fileno(file), 0);
    dup2(out[1], 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    execlp("gnuplot", "gnuplot", "-", nullptr);
    _exit(127);
  }
  close(out[1]);
  std::fclose(file);
  std::string picture;
  char buffer[1 << 14];
  for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) > 0;) picture.append(buffer, size_t(n));
  close(out[0]);
  int status = -1;
  if (child > 0) waitpid(child, &status, 0);
  check<Error>(child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0, "gnuplot: it is not installed, or could not draw");
  return picture;
}

}  // namespace graft::io
