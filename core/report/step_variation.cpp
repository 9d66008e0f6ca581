#include "core/report/step_variation.h"

#include <algorithm>

#include "core/percentile.h"

namespace shardscope {

StepVariation variation_of(std::vector<Seconds> times) {
    std::vector<double> ascending;
    double sum = 0;
    for (const Seconds time : times) {
        ascending.push_back(time.value);
        sum += time.value;
    }
    std::ranges::sort(ascending);
    StepVariation variation;
    variation.steps = static_cast<int>(times.size());
    variation.mean = Seconds(sum / static_cast<double>(times.size()));
    variation.p5 = Seconds(percentile(ascending, 0.05));
    variation.p50 = Seconds(percentile(ascending, 0.5));
    variation.p95 = Seconds(percentile(ascending, 0.95));
    return variation;
}

}  // namespace shardscope
