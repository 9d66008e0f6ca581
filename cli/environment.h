// What a command knows of its surroundings. main fills it once; nothing below main reads environment
// variables or asks whether a stream is a terminal.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "cli/process_place.h"
#include "core/machine.h"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
}

namespace shardscope {

struct Command;

struct Environment {
    std::ostream& out;         // results
    std::ostream& err;         // everything else: progress, notes
    bool interactive = false;  // err is a terminal: progress may be redrawn in place
    bool colour_out = false;   // out is a terminal whose user wants colours
    Machine machine;
    std::string calibration_file;  // where `calibrate` writes unless told otherwise; may be empty
                                   // when there is no home folder
    // All that this process was given: `launch` hands them on, and reads PATH and Slurm's.
    std::map<std::string, std::string> variables;
    std::string module_folder;                    // where loadable modules of backends are
    std::optional<ProcessPlace> place;            // one of several processes with the same command
    std::unique_ptr<class Processes>& processes;  // all of them, once met: Processes::meet()
    // Where it is set, a command whose words have been parsed is not executed: this is called with its
    // options instead (cli/command_description.h).
    std::function<void(const Command&, const CLI::App&)> describe;

    // Only rank 0 writes; the others' out and err go nowhere.
    bool is_root() const { return !place || place->rank == 0; }
};

}  // namespace shardscope
