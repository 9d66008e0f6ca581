// `shardscope import FORMAT FILE`: what a file of another program means here.
#pragma once

#include <span>

#include "cli/command.h"

namespace shardscope {

// A format: its word on the command line, and the rest like a command of its own, whose name is
// "import FORMAT". One row each in import.cpp, one file each (cli/import_<format>.cpp).
struct ImportFormat {
    std::string_view name;
    Command command;
};

std::span<const ImportFormat> import_formats();

int import_hf(const Command& self, const Words& words, const Environment& environment);
int import_deepspeed(const Command& self, const Words& words, const Environment& environment);

}  // namespace shardscope
