// The only place that reads the environment and turns errors into exit codes.

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>

#include <unistd.h>

#include "backends/process/news.h"
#include "cli/command.h"
#include "cli/processes.h"
#include "cli/shared_gpu.h"
#include "core/error.h"
#include "core/report/text_table.h"

namespace {

using namespace shardscope;

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// $XDG_CACHE_HOME or ~/.cache, as the XDG Base Directory Specification says (relative: ignored).
std::string calibration_file() {
    std::string folder = variable("XDG_CACHE_HOME");
    if (!folder.starts_with('/')) {
        folder = variable("HOME");
        if (folder.empty()) return "";
        folder += "/.cache";
    }
    return folder + "/shardscope/this-machine.yaml";
}

std::map<std::string, std::string> all_variables() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry; ++entry) {
        const std::string text = *entry;
        const std::size_t equals = text.find('=');
        if (equals != text.npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

// See no-color.org; "dumb" terminals would print the codes.
bool wants_colour(int file) {
    return isatty(file) == 1 && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
}

// One line, whatever the message was made of.
int report_error(std::string text, int exit_code) {
    for (char& c : text)
        if (c == '\n' || c == '\r') c = ' ';
    const Colour colour = wants_colour(STDERR_FILENO) ? Colour::red : Colour::none;
    std::cerr << coloured("shardscope:", colour) << ' ' << text << std::endl;
    return exit_code;
}

int run_and_flush(const Words& words, const Environment& environment) {
    const int exit_code = run_command_line(words, environment);
    environment.out.flush();
    if (environment.is_root() && !environment.out)
        throw Error("output", "standard output cannot be written", "free some space",
                    ErrorKind::io);
    return exit_code;
}

// Modules lie beside the libraries, where the build and the installation put them.
std::string module_folder() {
    std::error_code unreadable;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", unreadable);
    const auto root = program.parent_path().parent_path();
    const auto installed = root / SHARDSCOPE_LIBDIR / "shardscope";
    return (std::filesystem::exists(installed, unreadable) ? installed : root / "lib/shardscope")
        .string();
}

// NCCL reads its variables when it is first called. Before any thread, since setenv is not safe beside
// getenv. `launch` itself sets them for each of its ranks.
void prepare_shared_gpu(const Words& words, int rank) {
    if (!words.empty() && words.front() == "launch") return;
    for (const SharedGpuVariable& variable : shared_gpu_variables(words, rank))
        setenv(variable.name.c_str(), variable.value.c_str(), variable.decides ? 1 : 0);
}

// What all processes of a run find wrong is said once.
bool is_told_by_rank_0(const std::optional<ProcessPlace>& place, const Error& error) {
    const bool alone =
        error.rule == "processes" || error.rule == "module-missing" || error.rule == kRankLost;
    return place && place->rank > 0 && !alone;
}

}  // namespace

int main(int argc, char** argv) {
    std::optional<ProcessPlace> place;
    std::unique_ptr<Processes> processes;  // outlives the errors: the others wait for rank 0's end
    try {
        std::ios::sync_with_stdio(false);
        const Words words(argv + std::min(argc, 1), argv + argc);
        place = process_place(all_variables());
        prepare_shared_gpu(words, place ? place->rank : 0);
        const auto variables = all_variables();
        std::ostream nowhere(nullptr);
        const bool root = !place || place->rank == 0;
        const Environment environment{root ? std::cout : nowhere,
                                      root ? std::cerr : nowhere,
                                      root && isatty(STDERR_FILENO) == 1,
                                      root && wants_colour(STDOUT_FILENO),
                                      describe_machine(),
                                      calibration_file(),
                                      variables,
                                      module_folder(),
                                      place,
                                      processes,
                                      {}};
        return run_and_flush(words, environment);
    } catch (const Error& error) {
        return is_told_by_rank_0(place, error) ? error.exit_code()
                                               : report_error(error.what(), error.exit_code());
    } catch (const std::bad_alloc&) {
        return report_error(
            "out-of-memory: this machine has too little memory for that; use a "
            "smaller model or fewer ranks",
            1);
    } catch (const std::exception& error) {
        return report_error(std::string("internal: ") + error.what(), 1);
    }
}
