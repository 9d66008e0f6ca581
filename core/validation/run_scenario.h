// What a measured run is as a scenario: docs/validate.md has the meaning of each column and the default
// of each empty one.
#pragma once

#include <string>
#include <vector>

#include "core/scenario.h"
#include "core/validation/run_cluster.h"
#include "core/validation/validation_constants_io.h"

namespace shardscope {

struct MappedRun {
    // With one strategy, or several where the row leaves open what its users chose. The degrees (tp, pp) of the first
    // that fits are meant, and among those of the micro-batches, from the largest down, the fastest that fits, with the
    // first of its strategies that does; the last that can be planned if none fits.
    Scenario scenario;
    std::vector<Assumption> assumed;
    bool degrees_open = false, micro_batch_open = false,
         recompute_open = false;  // that the strategies differ in
};

// Throws Error for a row that cannot be simulated: a feature that is not there ("not-modelled"), a word
// that is not known ("unknown-name"), an empty column ("missing-value"), figures that contradict each
// other ("world-size", …), and what is `unreadable` of it. Messages but the last do not name the row, so that rows can
// be grouped by them. Equal rows
// but for id and measurement give equal scenarios. `constants` take the place of the cluster's.
MappedRun map_run(const MeasuredRun& run, const ValidationConstants& constants = {});

}  // namespace shardscope
