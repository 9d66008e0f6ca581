// Command lines: CLI11 reads them, this says what went wrong as an Error (exit code 2) with a fix.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "backends/cuda/cuda_options.h"
#include "cli/command.h"

namespace shardscope {

// A CLI::App that knows a command's name, summary and example, and parses its words.
class ArgumentParser {
public:
    explicit ArgumentParser(const Command& command);
    CLI::App& app() { return app_; }

    // False when there is nothing left to do: --help was asked for and has been printed, or
    // Environment::describe was told. Throws Error "usage".
    bool parse(const Words& words, const Environment& environment);

private:
    std::vector<std::string> option_names() const;
    // An option's word in the spelling that it was declared with: '-' and '_' mean the same.
    std::string as_declared(const std::string& word) const;
    std::string fix_for(const std::string& word) const;

    const Command& command_;
    CLI::App app_;
};

// A check that a number is from `least` to `most`, which help does not spell out. NaN is not; CLI::Range takes it.
template <typename Number>
CLI::Validator in_range(Number least, Number most) {
    const CLI::Validator range = CLI::Range(least, most);
    return CLI::Validator(
        [range](std::string& input) {
            double value = 0;
            const bool nan = CLI::detail::lexical_cast(input, value) && std::isnan(value);
            return nan ? fmt::format("{} is no number", input) : range(input);
        },
        "");
}

// What the commands that make a report have in common.
struct ReportArguments {
    std::string file;                     // scenario
    std::vector<std::string> strategies;  // by name; empty: all
    bool json = false, csv = false;
    std::optional<std::string> output;  // file; empty: standard output
    std::optional<std::string> trace;   // file for Perfetto; empty: none
    std::string calibration;            // file; preset to the default one
    std::string profile;                // of every strategy; "all": each; empty: the scenario's

    void add_input_to(CLI::App& app, const Environment& environment);  // which scenario
    void add_to(CLI::App& app, const Environment& environment);        // and how to report
    void add_profile_to(CLI::App& app);
};

// What the commands that train have in common.
struct RunArguments {
    std::string backend = "cpu";
    std::optional<std::int64_t> steps;  // instead of the scenario's
    std::optional<int> ranks;           // on this machine, instead of the scenario's cluster
    std::optional<int> threads;         // of each rank, instead of the scenario's
    CudaOptions cuda;

    void add_to(CLI::App& app);
    // Only --backend, described as `text`, and what says how GPUs compute: for `calibrate`.
    void add_backend_to(CLI::App& app, const std::string& text);

private:
    void add_cuda_run_to(CLI::App& app);
    void refuse_without_effect(const CLI::App& app) const;
};

}  // namespace shardscope
