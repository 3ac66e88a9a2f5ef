// Errors of the library. Text: "where: what is wrong: expected X, got Y (hint)". The library never exits or aborts.
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace graft {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct ShapeError : Error {
  using Error::Error;
};
struct DtypeError : Error {
  using Error::Error;
};
struct DeviceError : Error {
  using Error::Error;
};
struct NotImplemented : Error {
  using Error::Error;
};
struct LoadError : Error {
  using Error::Error;
};  // a file or an archive that cannot be what it claims
struct ConfigError : Error {
  using Error::Error;
};  // a wrong argument, flag or configuration key
struct Interrupted : Error {
  using Error::Error;
};  // Ctrl-C, after everything finished was saved
struct InternalError : Error {
  using Error::Error;
};  // a fault of Graft itself: exit code 1

// One line per check: check<ShapeError>(x.rank() == 4, "conv2d: x: expected [N, H, W, C], got {}", x.shape()).
template <class E, class... Args>
void check(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) [[unlikely]]
    throw E(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace graft
