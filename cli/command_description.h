// The commands and their options as data: what completion and the manual page are made of, so that
// neither can lag behind what commands accept.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace shardscope {

struct OptionDescription {
    std::vector<std::string> names;  // "--hostfile", "-H"; empty: a positional argument
    // What follows it: "FILE", "N", …; "a|b" is a choice; empty: nothing does.
    std::string value;
    std::string text;
    bool repeatable = false;
    bool required = false;
};

struct CommandDescription {
    std::string name;  // of one or more words: "import hf"
    std::string summary, example;
    std::vector<OptionDescription> options;  // positional ones too, in the order of help
};

// In the order of the command table. Each command parses its own example on the way: an example that
// does not parse is an Error.
std::vector<CommandDescription> describe_commands(const Environment& environment);

// The words of the command's example, as it would get them.
Words example_words(const Command& command);

// The words of a choice, "a|b"; empty for other values.
std::vector<std::string> choices_of(const std::string& value);

}  // namespace shardscope
