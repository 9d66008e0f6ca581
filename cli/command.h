// The commands: one row each, one file each (cli/<name>.cpp).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/environment.h"

namespace shardscope {

using Words = std::vector<std::string>;  // the command line behind the command's name

struct Command {
    std::string_view name;
    std::string_view summary;  // one line, for help
    std::string_view example;  // a command line that works in the source tree
    // Returns the exit code: 0 done, 1 a run failed, 3 nothing in the scenario can run. Throws Error.
    int (*run)(const Command& self, const Words& words, const Environment& environment);
    // What all processes do together when a launcher started several; else rank 0 does it alone.
    bool by_all_processes = false;
};

std::span<const Command> commands();

// Runs what the command line (without the program's name) asks for: a command, --help or --version.
// An unknown command is an Error (exit code 2) with the nearest known one.
int run_command_line(const Words& words, const Environment& environment);

// The words that ran it: its name and those behind it.
Words command_line(const Command& command, const Words& words);

int simulate(const Command& self, const Words& words, const Environment& environment);
int run(const Command& self, const Words& words, const Environment& environment);
int compare(const Command& self, const Words& words, const Environment& environment);
int show(const Command& self, const Words& words, const Environment& environment);
int launch(const Command& self, const Words& words, const Environment& environment);
int import_file(const Command& self, const Words& words, const Environment& environment);
int validate(const Command& self, const Words& words, const Environment& environment);
int calibrate(const Command& self, const Words& words, const Environment& environment);
int devices(const Command& self, const Words& words, const Environment& environment);
int completion(const Command& self, const Words& words, const Environment& environment);
int manual(const Command& self, const Words& words, const Environment& environment);

}  // namespace shardscope
