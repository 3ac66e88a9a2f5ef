// What a verb prints.
#pragma once
#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace graft::apps {

// To standard output: the result. Error when it cannot be written; but a reader that has gone ("| head") is no error.
void write_result(std::string_view text);
// To standard error: progress. Nothing is thrown, since no work may end for want of its log.
void write_progress(std::string_view text);

template <class... Args>
void print_result(fmt::format_string<Args...> text, Args&&... args) {
  write_result(fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void print_progress(fmt::format_string<Args...> text, Args&&... args) {
  write_progress(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace graft::apps
