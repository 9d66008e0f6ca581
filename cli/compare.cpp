#include <optional>

#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "cli/speed_check.h"
#include "cli/this_machine.h"
#include "core/cluster/cluster_source.h"
#include "core/report/report_text.h"

namespace shardscope {
namespace {

// Predictions for this machine need its speed: measured once, kept in the calibration file. Returns whether it
// was measured now.
bool calibrate_if_new(const std::string& file, Processes* processes,
                      const Environment& environment) {
    if (is_calibrated(file, processes)) return false;
    environment.err << "this machine has not been measured yet: calibrating (once)\n";
    calibrate_to(file, false, processes, environment);
    return true;
}

// What a reader of predictions for this machine should know of their calibration.
std::optional<std::string> calibration_check(const Cluster& cluster, bool is_new,
                                             const Environment& environment) {
    if (auto note = calibration_note(cluster, environment.machine)) return note;
    if (is_new || !environment.is_root()) return std::nullopt;
    const Calibration& calibration = cluster.device.calibration;
    const auto speed = speed_now(calibration);
    return speed ? speed_note(calibration, *speed) : std::nullopt;
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
    const bool is_new = !gpus && calibrate_if_new(arguments.calibration, processes, environment);
    agree(processes, prepare);
    Evaluation& evaluation = *prepared;
    if (gpus) require_known_gpu(evaluation.scenario().cluster.device);
    if (!gpus)
        evaluation.note(calibration_check(evaluation.scenario().cluster, is_new, environment));
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
