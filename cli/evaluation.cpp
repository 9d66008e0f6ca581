#include "cli/evaluation.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "cli/output_file.h"
#include "cli/this_machine.h"
#include "core/data/data_source.h"
#include "core/nearest.h"
#include "core/report/chrome_trace.h"
#include "core/report/figures.h"
#include "core/report/report_io.h"
#include "core/scenario_io.h"
#include "simulator/disturbed_steps.h"

namespace shardscope {
namespace {

// "zero-1: step 12/50, loss 3.214, 9,640 tokens/s, 12 s left"
std::string step_text(const std::string& strategy, const StepProgress& step,
                      const TrainingSpec& training, const Model& model) {
    const double samples = static_cast<double>(training.global_batch * step.step);
    const double rate = samples * static_cast<double>(model.seq) / step.elapsed.value;
    const Seconds left = step.elapsed * (static_cast<double>(step.steps - step.step) /
                                         static_cast<double>(step.step));
    return fmt::format("{}: step {}/{}, loss {:.3f}, {} {}/s, {} left", strategy, step.step,
                       step.steps, step.loss, format_count(rate),
                       model.tokens ? "tokens" : "samples", duration_text(left));
}

int exit_code_of(const Report& report, bool ran) {
    bool runnable = false;
    for (const StrategyReport& strategy : report.strategies) {
        if (strategy.status == Status::failed) return 1;
        runnable |= strategy.status == Status::fits;
        runnable |= strategy.status == Status::does_not_fit && !ran;  // a verdict is an answer
    }
    return runnable ? 0 : 3;
}

}  // namespace

Evaluation::Evaluation(const ReportArguments& arguments, const Environment& environment,
                       Processes* processes)
    : arguments_(arguments), environment_(environment), processes_(processes) {
    if (arguments.output) check_target("--output", *arguments.output);
    report_.scenario =
        load_scenario(arguments.file, parse_options(environment, arguments.calibration));
    select_strategies();
    select_profiles();
    check_trace();
    model_ = std::make_shared<Model>(build_model(report_.scenario.model));
}

void Evaluation::select_strategies() {
    if (arguments_.strategies.empty()) return;
    std::vector<std::string_view> names;
    for (const Strategy& strategy : strategies()) names.push_back(strategy.name);
    std::vector<Strategy> selected;
    for (const std::string& name : arguments_.strategies) {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            throw Error("usage", fmt::format("{} has no strategy \"{}\"", arguments_.file, name),
                        suggest_name(name, names), ErrorKind::io);
        }
        if (std::ranges::any_of(selected, [&](const Strategy& s) { return s.name == name; }))
            throw Error("usage", fmt::format("--strategy \"{}\" is there twice", name),
                        "name each strategy once", ErrorKind::io);
        selected.push_back(strategies()[static_cast<std::size_t>(found - names.begin())]);
    }
    report_.scenario.strategies = std::move(selected);
    std::erase_if(scenario().published, [&](const PublishedFigure& figure) {
        return std::ranges::find(arguments_.strategies, figure.strategy) ==
               arguments_.strategies.end();
    });
}

// One profile changes the strategies, all of them set each strategy beside itself; what was published is of the
// strategy's own.
void Evaluation::select_profiles() {
    if (arguments_.profile.empty()) return;
    const bool all = arguments_.profile == "all";
    std::vector<Strategy> selected;
    for (const Strategy& strategy : strategies())
        for (const RuntimeProfile profile : kRuntimeProfiles) {
            if (!all && arguments_.profile != name_of(profile)) continue;
            Strategy& next = selected.emplace_back(strategy);
            set_profile(next, profile);
            if (!all) continue;
            next.name += fmt::format(", {}", name_of(profile));
            if (profile != strategy.profile) continue;
            for (PublishedFigure& figure : scenario().published)
                if (figure.strategy == strategy.name) figure.strategy = next.name;
        }
    report_.scenario.strategies = std::move(selected);
}

void Evaluation::check_target(const char* option, const std::string& path) const {
    if (!environment_.is_root()) return;
    if (path.empty() || same_file(path, arguments_.file))
        throw Error("usage",
                    path.empty() ? fmt::format("{} names no file", option)
                                 : fmt::format("{} names the scenario {}", option, path),
                    "name another file", ErrorKind::io);
    check_writable(path);
}

// Before any long work.
void Evaluation::check_trace() const {
    if (!arguments_.trace) return;
    check_target("--trace", *arguments_.trace);
    if (arguments_.output && same_file(*arguments_.trace, *arguments_.output)) {
        throw Error("usage", fmt::format("--trace and --output both name {}", *arguments_.trace),
                    "name two files", ErrorKind::io);
    }
    if (strategies().size() == 1) return;
    throw Error("usage",
                fmt::format("--trace shows one strategy, but there are {}", strategies().size()),
                fmt::format("add --strategy \"{}\" or another one", strategies().front().name),
                ErrorKind::io);
}

void Evaluation::prepare_run(const RunArguments& arguments, const GpuPlace* gpus,
                             const Words& command_line) {
    if (arguments.steps) scenario().training.steps = *arguments.steps;
    const ParseOptions options = parse_options(environment_, arguments_.calibration);
    cudnn_attention_ = gpus != nullptr && gpus->cudnn;
    if (gpus != nullptr)
        note(move_to_gpus(scenario(), arguments, *gpus, processes_,
                          gpu_calibration_file(environment_), command_line));
    else if (processes_ != nullptr)
        note(move_to_processes(scenario(), arguments, *processes_, options));
    else if (arguments.ranks || arguments.threads || !scenario().cluster.this_machine)
        note(move_to_this_machine(scenario(), arguments.ranks, arguments.threads, options));
    // A corpus that is missing or too short concerns every strategy: say so once, before any runs.
    open_data(scenario().data, *model_, scenario().training.seed);
}

void Evaluation::note(std::optional<std::string> text) {
    if (text) report_.context.notes.push_back(std::move(*text));
}

EvaluatedCandidate Evaluation::plan(const Strategy& strategy) const {
    return {plan_strategy(report_.scenario, model_, strategy, cudnn_attention_), {}, {}};
}

void Evaluation::simulate(EvaluatedCandidate& candidate) {
    RunOptions options;
    options.record_spans = arguments_.trace.has_value();
    auto trace = simulate_candidate(report_.scenario, candidate, *make_simulator(), options);
    if (options.record_spans) candidate.simulated = std::move(trace);
}

void Evaluation::vary(EvaluatedCandidate& candidate, const Disturbance& disturbance,
                      std::optional<int> steps, Progress& progress) {
    std::optional<Result>& result = candidate.report.simulated;
    if (!result) return;
    Disturbance seeded = disturbance;
    seeded.seed = report_.scenario.training.seed;
    try {
        const Plan& plan = *candidate.plan;
        const int count = steps.value_or(usual_disturbed_steps(plan.layout.world));
        const auto begun = std::chrono::steady_clock::now();
        const auto on_step = [&](int done) {
            const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begun;
            const std::string left =
                remaining_text(Seconds(elapsed.count()), double(done) / double(count));
            progress.update(fmt::format("{}: {} of {} disturbed steps{}{}", candidate.report.name,
                                        done, count, left.empty() ? "" : ", ", left));
        };
        result->variation = simulate_disturbed(report_.scenario, plan, seeded, count,
                                               environment_.machine.cores, on_step);
    } catch (const Error& error) {
        note(fmt::format("{}: no jitter or stragglers: {}", candidate.report.name, error.what()));
    }
}

// Whether all processes can run it; with an error where one of them is gone, so that what was measured
// before is still reported.
bool Evaluation::all_ready(StrategyReport& report) {
    const bool ready = report.status == Status::fits;
    if (processes_ == nullptr) return ready;
    try {
        return processes_->all(ready);
    } catch (const Error& error) {
        set_error(report, Error("not-run", error.message, error.fix, ErrorKind::run_failed));
        return false;
    }
}

// Where processes run the ranks, any of them may have been told.
bool Evaluation::told_to_stop(const Measuring& how) {
    const bool mine = how.stop.stop_requested();
    if (processes_ == nullptr || !how.stop.stop_possible()) return mine;
    return !processes_->all(!mine);
}

void Evaluation::note_cancelled(const StrategyReport& report) {
    cancelled_ = true;
    const auto steps = report.measured ? std::ssize(report.measured->losses) : 0;
    note(steps == 0 ? fmt::format("{}: not run, cancelled before it began", report.name)
                    : fmt::format("{}: cancelled after step {} of {}", report.name, steps,
                                  report_.scenario.training.steps));
}

void Evaluation::measure(EvaluatedCandidate& candidate, const Measuring& how) {
    StrategyReport& report = candidate.report;
    if (report.status == Status::does_not_fit) {
        const double needed = gib(largest_peak(*candidate.plan));
        const double there = gib(report_.scenario.cluster.device.memory);
        const std::string why =
            fmt::format("{} needs {:.2f} GiB per rank, but {:.2f} GiB are there: not run",
                        report.name, needed, there);
        note(why);
        if (how.events != nullptr) how.events->does_not_fit(report, why);
    }
    if (all_ready(report)) run(candidate, how);
    if (report.status == Status::does_not_fit) return;
    const std::int64_t steps = report_.scenario.training.steps;
    if (!report.error && (!report.measured || std::ssize(report.measured->losses) < steps))
        note_cancelled(report);
    if (how.events != nullptr) how.events->over(report, steps);
}

void Evaluation::run(EvaluatedCandidate& candidate, const Measuring& how) {
    StrategyReport& report = candidate.report;
    RunOptions options;
    options.record_spans = arguments_.trace.has_value();
    options.stop = how.stop;
    options.on_step = [&](const StepProgress& step) {
        how.progress.update(step_text(report.name, step, report_.scenario.training, *model_));
        if (how.events != nullptr) how.events->step(step);
    };
    MessageLink* const link = processes_ == nullptr ? nullptr : &processes_->link();
    const RunnerRequest request{environment_, link, how.cuda};
    try {
        if (told_to_stop(how)) return;
        how.progress.update(fmt::format("{}: starting", report.name));
        if (how.events != nullptr) how.events->started(candidate, how.backend.name);
        Trace trace = how.backend.make(request)->run(report_.scenario, *candidate.plan, options);
        report.measured = summarise(trace, *candidate.plan, report_.scenario.cluster);
        if (options.record_spans) candidate.measured = std::move(trace);
        how.progress.done(
            fmt::format("{}: {} steps done", report.name, std::ssize(report.measured->losses)));
    } catch (const Error& error) {
        set_error(report, error);
        how.progress.note(fmt::format("{}: {}", report.name, status_name(report.status)));
    }
}

void Evaluation::add(EvaluatedCandidate candidate) {
    add_estimates(report_.scenario, candidate, accuracy_);
    std::vector<TracePart> parts;
    if (candidate.simulated) parts.push_back({"simulated", &*candidate.simulated});
    if (candidate.measured) parts.push_back({"measured", &*candidate.measured});
    if (!parts.empty()) trace_ = chrome_trace(*candidate.plan, parts);
    report_.strategies.push_back(std::move(candidate.report));
}

void Evaluation::write_trace() const {
    if (trace_.empty()) return;
    write_atomically(*arguments_.trace, trace_);
    environment_.err << "trace written to " << *arguments_.trace
                     << "; open it in ui.perfetto.dev\n";
}

int Evaluation::finish(std::string backend, std::string (*to_text)(const Report&, bool), bool ran) {
    Context& context = report_.context;
    const int exit_code = cancelled_ ? kCancelled : exit_code_of(report_, ran);
    if (!environment_.is_root()) return exit_code;
    std::vector<std::string> notes = std::move(context.notes);
    context = describe_context(report_.scenario, environment_.machine, std::move(backend));
    context.notes = std::move(notes);
    const std::string text = arguments_.json ? report_to_json(report_)
                             : arguments_.csv
                                 ? report_to_csv(report_)
                                 : to_text(report_, environment_.colour_out && !arguments_.output);
    if (arguments_.output) {
        write_atomically(*arguments_.output, text);
        environment_.err << "report written to " << *arguments_.output << '\n';
    } else {
        environment_.out << text;
    }
    write_trace();
    return exit_code;
}

}  // namespace shardscope
