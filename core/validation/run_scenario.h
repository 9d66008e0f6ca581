// What a measured run is as a scenario: docs/validate.md has the meaning of each column and the default
// of each empty one.
#pragma once

#include <string>
#include <vector>

#include "core/scenario.h"
#include "core/validation/run_cluster.h"
#include "core/validation/validation_constants_io.h"

namespace shardscope {

// What stands for a row's empty columns.
struct RunAssumptions {
    std::vector<Assumption> always;
    std::vector<std::vector<Assumption>> by_strategy;  // besides, with each of the scenario's

    // All of them where that strategy is chosen; the values of a column in one.
    std::vector<Assumption> with(std::size_t strategy) const;
};

struct MappedRun {
    // With one strategy, or several where the row leaves open what its users chose. Neighbours with the same tp, pp and
    // zero are an attempt. In it those that save the same memory, by recomputation and sequence parallelism, go from the
    // largest micro-batch down, and those that save more come later, for micro-batches that do not fit before. The fastest
    // is meant that fits, of the first attempt in which any does; the last that can be planned if none fits. Of a run that
    // ran out of memory the first alone.
    Scenario scenario;
    RunAssumptions assumed;
};

// Throws Error for a row that cannot be simulated: a feature that is not there ("not-modelled"), a word
// that is not known ("unknown-name"), an empty column ("missing-value"), figures that contradict each
// other ("world-size", …), and what is `unreadable` of it. Messages but the last do not name the row, so that rows can
// be grouped by them. Equal rows
// but for id and figures measured give equal scenarios. `constants` take the place of the cluster's.
MappedRun map_run(const MeasuredRun& run, const ValidationConstants& constants = {});

}  // namespace shardscope
