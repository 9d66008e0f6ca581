// The only place that reads the environment and turns errors into exit codes.

#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

#include <unistd.h>

#include "cli/command.h"
#include "core/error.h"

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

// One line, whatever the message was made of.
int report_error(std::string text, int exit_code) {
    for (char& c : text)
        if (c == '\n' || c == '\r') c = ' ';
    std::cerr << "shardscope: " << text << std::endl;
    return exit_code;
}

int run_and_flush(const Words& words, const Environment& environment) {
    const int exit_code = run_command_line(words, environment);
    environment.out.flush();
    if (!environment.out)
        throw Error("output", "standard output cannot be written", "free some space",
                    ErrorKind::io);
    return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        std::ios::sync_with_stdio(false);
        const Environment environment{
            std::cout,          std::cerr,          isatty(STDERR_FILENO) == 1,
            describe_machine(), calibration_file(), all_variables()};
        return run_and_flush(Words(argv + std::min(argc, 1), argv + argc), environment);
    } catch (const Error& error) {
        return report_error(error.what(), error.exit_code());
    } catch (const std::bad_alloc&) {
        return report_error(
            "out-of-memory: this machine has too little memory for that; use a "
            "smaller model or fewer ranks",
            1);
    } catch (const std::exception& error) {
        return report_error(std::string("internal: ") + error.what(), 1);
    }
}
