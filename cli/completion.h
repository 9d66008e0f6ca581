// Completion scripts for shells, as text.
#pragma once

#include <string>
#include <vector>

#include "cli/command_description.h"

namespace shardscope {

// For bash 4.2 and newer; needs no bash-completion.
std::string bash_completion(const std::vector<CommandDescription>& commands);

// A function file for zsh's completion system: `_shardscope` in a folder of $fpath.
std::string zsh_completion(const std::vector<CommandDescription>& commands);

}  // namespace shardscope
