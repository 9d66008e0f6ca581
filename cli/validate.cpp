#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/usage_error.h"
#include "core/nearest.h"
#include "core/validation/scatter_plot.h"
#include "core/validation/validation_io.h"
#include "core/validation/validation_text.h"
#include "simulator/validation.h"

namespace shardscope {
namespace {

constexpr int kMostValidationThreads = 1024;

struct ValidateArguments {
    std::string file;
    std::vector<std::string> families, ids;  // empty: all
    bool json = false, times = false;
    std::optional<std::string> csv, plot, constants;  // files
    int threads = 1;

    void add_to(CLI::App& app);
    void check_files() const;
};

void ValidateArguments::add_to(CLI::App& app) {
    app.add_option("FILE", file, "Measured runs (CSV)")->required();
    app.add_option("--family", families, "Only rows of this family; may be repeated")
        ->type_name("NAME")
        ->allow_extra_args(false);
    app.add_option("--id", ids, "Only this row; may be repeated")
        ->type_name("ID")
        ->allow_extra_args(false);
    app.add_flag("--json", json, "Print the result as JSON");
    app.add_option("--csv", csv, "Write a line per row, with what its time is made of")
        ->type_name("FILE");
    app.add_option("--plot", plot, "Write a picture of predicted against measured (SVG)")
        ->type_name("FILE");
    app.add_option("--constants", constants, "Fitted constants other than ours (YAML)")
        ->type_name("FILE");
    app.add_option("--threads", threads, "Threads that predict (default: one per core)")
        ->type_name("N")
        ->check(in_range(1, kMostValidationThreads));
    app.add_flag("--times", times, "Say on standard error where the time went");
}

// Before any work.
void ValidateArguments::check_files() const {
    const auto check = [this](const char* option, const std::optional<std::string>& path) {
        if (!path) return;
        if (path->empty()) usage_error(fmt::format("{} names no file", option), "name a file");
        if (same_file(*path, file))
            usage_error(fmt::format("{} names {}, the file to read", option, file),
                        "name another file");
        check_writable(*path);
    };
    check("--csv", csv);
    check("--plot", plot);
    if (csv && plot && same_file(*csv, *plot))
        usage_error(fmt::format("--csv and --plot both name {}", *csv), "name two files");
}

// Every word that was asked for must be some row's.
void check_words(const std::vector<MeasuredRun>& runs, const std::vector<std::string>& words,
                 const std::string MeasuredRun::*column, const ValidateArguments& arguments,
                 const char* what) {
    std::vector<std::string_view> known;
    for (const MeasuredRun& run : runs)
        if (known.empty() || known.back() != run.*column) known.push_back(run.*column);
    for (const std::string& word : words) {
        if (std::find(known.begin(), known.end(), word) != known.end()) continue;
        usage_error(fmt::format("{} has no {} \"{}\"", arguments.file, what, word),
                    nearest_name(word, known) ? suggest_name(word, known) : "see the file");
    }
}

std::vector<MeasuredRun> selected(std::vector<MeasuredRun> runs,
                                  const ValidateArguments& arguments) {
    if (runs.empty())
        throw Error("no-rows", fmt::format("{} has column names, but no row", arguments.file),
                    "add a row per run");
    check_words(runs, arguments.families, &MeasuredRun::family, arguments, "family");
    check_words(runs, arguments.ids, &MeasuredRun::id, arguments, "row");
    const auto is_meant = [](const std::vector<std::string>& words, const std::string& word) {
        return words.empty() || std::find(words.begin(), words.end(), word) != words.end();
    };
    std::erase_if(runs, [&](const MeasuredRun& run) {
        return !is_meant(arguments.families, run.family) || !is_meant(arguments.ids, run.id);
    });
    if (runs.empty())
        usage_error(fmt::format("{}: no row is both of --family and of --id", arguments.file),
                    "leave one of them out");
    return runs;
}

std::string times_text(const ValidationTimes& times, Seconds reading) {
    return fmt::format(
        "read {:.2f} s, map {:.2f} s, plan {:.2f} s, simulate {:.2f} s (sums over threads); {} "
        "scenarios in {:.2f} s",
        reading.value, times.map.value, times.plan.value, times.simulate.value, times.simulated,
        times.wall.value);
}

Validation predict(const ValidateArguments& arguments, const Environment& environment) {
    const auto began = std::chrono::steady_clock::now();
    MeasuredRuns file = load_measured_runs(arguments.file);
    const std::vector<MeasuredRun> runs = selected(std::move(file.rows), arguments);
    const Seconds reading(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    Progress progress(environment);
    ValidationOptions options;
    options.threads = arguments.threads;
    if (arguments.constants) options.constants = load_constants(*arguments.constants);
    options.on_progress = [&](std::size_t done, std::size_t rows) {
        progress.update(fmt::format("{} of {} runs", done, rows));
    };
    ValidationTimes times;
    std::vector<Prediction> predictions = predict_runs(runs, options, &times);
    if (arguments.times) progress.note(times_text(times, reading));
    Validation validation;
    validation.file = arguments.file;
    validation.columns_not_read = std::move(file.columns_not_read);
    validation.context = describe_context({}, environment.machine, "simulator");
    for (std::size_t i = 0; i < runs.size(); ++i)
        validation.runs.push_back({runs[i], std::move(predictions[i])});
    return validation;
}

}  // namespace

int validate(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ValidateArguments arguments;
    arguments.threads = environment.machine.cores;
    arguments.add_to(parser.app());
    if (!parser.parse(words, environment)) return 0;
    arguments.check_files();

    const Validation validation = predict(arguments, environment);
    if (arguments.csv) write_atomically(*arguments.csv, validation_to_csv(validation));
    if (arguments.plot) write_atomically(*arguments.plot, scatter_plot(validation));
    environment.out << (arguments.json ? validation_to_json(validation)
                                       : validation_text(validation));
    return validation.skipped() < validation.runs.size() ? 0 : 3;
}

}  // namespace shardscope
