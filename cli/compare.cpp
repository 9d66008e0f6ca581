#include <optional>

#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "cli/this_machine.h"
#include "core/cluster/cluster_source.h"
#include "core/report/report_text.h"

namespace shardscope {
namespace {

// Predictions for this machine need its speed: measured once, kept in the calibration file.
void calibrate_if_new(const std::string& file, Processes* processes,
                      const Environment& environment) {
    if (is_calibrated(file, processes)) return;
    environment.err << "this machine has not been measured yet: calibrating (once)\n";
    calibrate_to(file, false, processes, environment);
}

}  // namespace

int compare(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ReportArguments arguments;
    RunArguments training;
    arguments.add_to(parser.app(), environment);
    training.add_to(parser.app());
    if (!parser.parse(words, environment)) return 0;

    const Backend& backend = find_backend(training.backend);
    Processes* const processes = Processes::meet(environment);
    const auto gpus = gpus_for(backend, training, environment, processes);
    std::optional<Evaluation> prepared;
    const auto prepare = [&] {
        prepared.emplace(arguments, environment, processes);
        prepared->prepare_run(training, gpus ? &*gpus : nullptr, command_line(self, words));
    };
    // What is wrong with the scenario is said before the calibration.
    agree(processes, prepare);
    if (!gpus) calibrate_if_new(arguments.calibration, processes, environment);
    agree(processes, prepare);
    Evaluation& evaluation = *prepared;
    if (gpus) require_known_gpu(evaluation.scenario().cluster.device);
    if (!gpus)
        evaluation.note(calibration_note(evaluation.scenario().cluster, environment.machine));
    {
        Progress progress(environment);
        for (const Strategy& strategy : evaluation.strategies()) {
            EvaluatedCandidate candidate = evaluation.plan(strategy);
            evaluation.simulate(candidate);
            evaluation.measure(candidate,
                               {backend, gpus ? gpus->options : training.cuda, progress});
            evaluation.add(std::move(candidate));
        }
    }
    return evaluation.finish(training.backend, comparison_text, true);
}

}  // namespace shardscope
