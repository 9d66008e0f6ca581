#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "cli/variation_arguments.h"
#include "core/cluster/cluster_source.h"
#include "core/report/report_text.h"

namespace shardscope {

int simulate(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ReportArguments arguments;
    arguments.add_to(parser.app(), environment);
    arguments.add_profile_to(parser.app());
    VariationArguments variation;
    variation.add_to(parser.app());
    if (!parser.parse(words, environment)) return 0;

    Evaluation evaluation(arguments, environment);
    variation.check_ranks(evaluation.scenario());
    require_calibration(evaluation.scenario().cluster, arguments.calibration);
    if (evaluation.scenario().cluster.this_machine)
        evaluation.note(calibration_note(evaluation.scenario().cluster, environment.machine));
    {
        Progress progress(environment);
        for (const Strategy& strategy : evaluation.strategies()) {
            progress.update("simulating " + strategy.name);
            EvaluatedCandidate candidate = evaluation.plan(strategy);
            evaluation.simulate(candidate);
            if (variation.asked())
                evaluation.vary(candidate, variation.disturbance, variation.steps, progress);
            evaluation.add(std::move(candidate));
        }
    }
    return evaluation.finish("simulator", simulation_text, false);
}

}  // namespace shardscope
