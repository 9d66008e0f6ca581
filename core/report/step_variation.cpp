#include "core/report/step_variation.h"

#include <algorithm>

#include "core/percentile.h"

namespace shardscope {

StepVariation variation_of(const std::vector<DisturbedStep>& steps) {
    std::vector<double> ascending;
    StepVariation variation;
    for (const DisturbedStep& step : steps) {
        ascending.push_back(step.wall.value);
        variation.mean += step.wall / static_cast<double>(steps.size());
        variation.busy += step.busy / static_cast<double>(steps.size());
    }
    std::ranges::sort(ascending);
    variation.steps = static_cast<int>(steps.size());
    variation.p5 = Seconds(percentile(ascending, 0.05));
    variation.p50 = Seconds(percentile(ascending, 0.5));
    variation.p95 = Seconds(percentile(ascending, 0.95));
    return variation;
}

}  // namespace shardscope
