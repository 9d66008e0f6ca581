#include <optional>

#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "cli/output_file.h"
#include "cli/run_events.h"
#include "cli/stop_signal.h"
#include "cli/usage_error.h"
#include "core/report/report_text.h"

namespace shardscope {
namespace {

// Standard output carries the events, so the report needs another place.
void check_events(const ReportArguments& report) {
    if (!report.output)
        usage_error("--events leaves the report without a place: standard output is the events'",
                    "add --output FILE");
    if (same_file(*report.output, "/dev/stdout"))
        usage_error("--events and --output both write to standard output",
                    "name a file with --output");
}

// A run with its arguments; whoever calls it says how it ended.
struct Run {
    const Command& self;
    const Words& words;
    const Environment& environment;
    const ReportArguments& arguments;
    const RunArguments& training;
    RunEvents* events = nullptr;
    std::stop_token stop;
    bool cancelled = false;

    int operator()();
};

int Run::operator()() {
    const Backend& backend = find_backend(training.backend);
    Processes* const processes = Processes::meet(environment);
    const auto gpus = gpus_for(backend, training, environment, processes);
    std::optional<Evaluation> prepared;
    agree(processes, [&] {
        prepared.emplace(arguments, environment, processes);
        prepared->prepare_run(training, gpus ? &*gpus : nullptr, command_line(self, words));
    });
    Evaluation& evaluation = *prepared;
    {
        Progress progress(environment);
        const CudaOptions& cuda = gpus ? gpus->options : training.cuda;
        for (const Strategy& strategy : evaluation.strategies()) {
            EvaluatedCandidate candidate = evaluation.plan(strategy);
            evaluation.measure(candidate, {backend, cuda, progress, events, stop});
            evaluation.add(std::move(candidate));
        }
    }
    cancelled = evaluation.cancelled();
    return evaluation.finish(training.backend, measurement_text, true);
}

int run_with_events(Run run) {
    const StopSignal signal;
    RunEvents events(run.environment.out);
    run.events = &events;
    run.stop = signal.token();
    try {
        const int exit_code = run();
        events.ended(exit_code, run.cancelled, run.arguments.output, {});
        return exit_code;
    } catch (const Error& error) {
        events.ended(error.exit_code(), run.cancelled, {}, error);
        throw;
    }
}

}  // namespace

int run(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ReportArguments arguments;
    RunArguments training;
    bool events = false;
    arguments.add_to(parser.app(), environment);
    training.add_to(parser.app());
    parser.app().add_flag("--events", events,
                          "Print a line of JSON for every step; SIGTERM cancels (needs --output)");
    if (!parser.parse(words, environment)) return 0;
    if (events) check_events(arguments);
    const Run run{self, words, environment, arguments, training, nullptr, {}};
    return events ? run_with_events(run) : Run(run)();
}

}  // namespace shardscope
