#include "cli/arguments.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "cli/runners.h"
#include "cli/usage_error.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/nearest.h"

namespace shardscope {

ArgumentParser::ArgumentParser(const Command& command)
    : command_(command),
      app_(std::string(command.summary), fmt::format("shardscope {}", command.name)) {
    app_.footer(fmt::format("Example:\n  {}", command.example));
    app_.get_formatter()->column_width(26);
    app_.set_help_flag("-h,--help", "Print this and exit");
}

bool ArgumentParser::parse(const Words& words, const Environment& environment) {
    try {
        Words last_first;  // as CLI11 takes them
        for (auto word = words.rbegin(); word != words.rend(); ++word)
            last_first.push_back(as_declared(*word));
        app_.parse(last_first);
        if (!environment.describe) return true;
        environment.describe(command_, app_);
        return false;
    } catch (const CLI::CallForHelp&) {
        environment.out << app_.help();
        return false;
    } catch (const CLI::ExtrasError&) {
        const std::string word = app_.remaining().front();
        throw Error("usage", fmt::format("unexpected argument \"{}\"", word), fix_for(word),
                    ErrorKind::io);
    } catch (const CLI::ParseError& error) {
        throw Error("usage", error.what(), fix_for(""), ErrorKind::io);
    }
}

std::vector<std::string> ArgumentParser::option_names() const {
    std::vector<std::string> names;
    for (const CLI::Option* known : app_.get_options())
        for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
    return names;
}

std::string ArgumentParser::as_declared(const std::string& word) const {
    if (!word.starts_with("--")) return word;
    const std::size_t end = std::min(word.find('='), word.size());
    for (const std::string& name : option_names()) {
        const bool same =
            std::equal(name.begin(), name.end(), word.begin(),
                       word.begin() + static_cast<std::ptrdiff_t>(end), [](char a, char b) {
                           return a == b || (a == '_' && b == '-') || (a == '-' && b == '_');
                       });
        if (same) return name + word.substr(end);
    }
    return word;
}

std::string ArgumentParser::fix_for(const std::string& word) const {
    const std::string option = word.substr(0, word.find('='));
    const std::vector<std::string> names = option_names();
    const std::vector<std::string_view> views(names.begin(), names.end());
    if (option.starts_with("--")) {
        for (const std::string& name : names)
            if (name.starts_with(option)) return fmt::format("use {}", name);
        if (const auto near = nearest_name(option, views)) return fmt::format("use {}", *near);
    }
    return fmt::format("see {} --help", app_.get_name());
}

namespace {

constexpr int kMostRanksPerGpu = 64;
constexpr std::array kCpuOptions{"--threads"};
constexpr std::array kGpuOptions{"--tf32", "--attention", "--no-graphs", "--ranks-per-gpu",
                                 "--timeout"};

std::string backend_names() {
    std::string names;
    for (const Backend& backend : backends())
        names += (names.empty() ? "" : "|") + std::string(backend.name);
    return names;
}

}  // namespace

void ReportArguments::add_input_to(CLI::App& app, const Environment& environment) {
    calibration = environment.calibration_file;
    app.add_option("FILE", file, "Scenario (YAML or JSON)")->required();
    app.add_option("--strategy", strategies, "Only this strategy; may be repeated")
        ->type_name("STRATEGY")
        ->allow_extra_args(false);  // else it would swallow FILE
    app.add_option("--calibration", calibration, "What `calibrate` measured of this machine")
        ->type_name("FILE");
}

void ReportArguments::add_to(CLI::App& app, const Environment& environment) {
    add_input_to(app, environment);
    CLI::Option* as_json = app.add_flag("--json", json, "Print the report as JSON");
    app.add_flag("--csv", csv, "Print the report as CSV")->excludes(as_json);
    app.add_option("--output", output, "Write the report to a file")->type_name("FILE");
    app.add_option("--trace", trace, "Write one strategy's timeline, for ui.perfetto.dev")
        ->type_name("FILE");
}

void ReportArguments::add_profile_to(CLI::App& app) {
    std::vector<std::string> names = {"all"};
    for (const RuntimeProfile known : kRuntimeProfiles) names.emplace_back(name_of(known));
    app.add_option("--profile", profile,
                   fmt::format("Whose way of training: {}, or all of them",
                               join_or(std::span(names).subspan(1))))
        ->type_name("PROFILE")
        ->check(CLI::IsMember(names).description(""));
}

void RunArguments::add_to(CLI::App& app) {
    add_backend_to(app, "Who trains (default cpu)");
    app.add_option("--steps", steps, "Optimizer steps, instead of the scenario's")
        ->type_name("N")
        ->check(in_range(std::int64_t{1}, std::int64_t{1'000'000'000}));
    app.add_option("--ranks", ranks, "Ranks on this machine, instead of the scenario's cluster")
        ->type_name("N")
        ->check(in_range(1, kMostThreads));
    app.add_option("--threads", threads, "Threads of each rank, instead of the scenario's")
        ->type_name("N")
        ->check(in_range(1, kMostThreads));
    add_cuda_run_to(app);
}

void RunArguments::add_backend_to(CLI::App& app, const std::string& text) {
    app.add_option("--backend", backend, text)->type_name(backend_names());
    app.add_flag("--tf32", cuda.tf32, "GPUs: fp32 multiplies on tensor cores, less exact");
    app.add_option_function<std::string>(
           "--attention",
           [this](const std::string& name) {
               if (name == "own") cuda.attention = CudaOptions::Attention::own;
               if (name == "cudnn") cuda.attention = CudaOptions::Attention::cudnn;
           },
           "GPUs: whose kernels (default cudnn in bf16 where it is installed)")
        ->type_name("own|cudnn")
        ->check(CLI::IsMember({"own", "cudnn"}).description(""));
    app.callback([this, &app] { refuse_without_effect(app); });
}

void RunArguments::add_cuda_run_to(CLI::App& app) {
    app.add_flag_callback(
        "--no-graphs", [this] { cuda.graphs = false; }, "GPUs: launch kernels one by one");
    app.add_option("--ranks-per-gpu", cuda.ranks_per_gpu,
                   "GPUs: ranks that share one, to test strategies; its times mean nothing")
        ->type_name("N")
        ->check(in_range(1, kMostRanksPerGpu));
    app.add_option_function<double>(
           "--timeout", [this](double seconds) { cuda.timeout = Seconds(seconds); },
           "GPUs: give up after so long without progress (default 60)")
        ->type_name("SECONDS")
        ->check(in_range(1.0, 86'400.0));
}

// What has no effect is not accepted in silence.
void RunArguments::refuse_without_effect(const CLI::App& app) const {
    const bool gpus = find_backend(backend).gpus;
    using Names = std::span<const char* const>;
    for (const char* name : gpus ? Names(kCpuOptions) : Names(kGpuOptions)) {
        const CLI::Option* option = app.get_option_no_throw(name);
        if (option != nullptr && option->count() > 0)
            usage_error(fmt::format("{} has no effect with --backend {}", name, backend),
                        gpus ? "leave it out" : "leave it out, or add --backend cuda");
    }
}

}  // namespace shardscope
