// The command line before it is parsed: unknown words, and options that stand in a file.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace graft::apps {

using Words = std::vector<std::string>;
using Verbs = std::map<std::string, Words>;  // the long options ("--epochs") of each verb

// ConfigError, with the nearest known name, for a verb or an option that there is not.
void check_words(const Words& arguments, const Verbs&);

// Where each option that was read from a file stands: "--epochs" -> "FILE:LINE".
using Origins = std::map<std::string, std::string>;

// Replaces --config FILE by the file's options. Its keys are the names of the options, its values numbers, texts, true or
// lists of them; what the command line gives too is left out. ConfigError "FILE:LINE: ..." for anything else.
Words with_config_file(Words arguments, const Words& options, Origins&);

}  // namespace graft::apps
