// What the ranks of a measured run send each other, and beside what they do it, as far as no column says: by the product
// and by words in the row's notes.
#pragma once

#include <vector>

#include "core/scenario.h"
#include "core/validation/run_cluster.h"
#include "core/validation/run_framework.h"

namespace shardscope {

// Sequence parallelism and what tensor parallelism's collectives go on beside; says what it took in `assumed`, but for
// sequence parallelism that may yet be turned on (may_turn_on_sequence_parallel). `scenario` has cluster and training.
void set_tensor_collectives(const MeasuredRun& run, const RunFramework& framework,
                            const Scenario& scenario, Strategy& strategy,
                            std::vector<Assumption>& assumed);

// How tokens come to experts. `strategy` has its degrees; `scenario` besides the model.
void set_dispatch(const MeasuredRun& run, const RunFramework& framework, const Scenario& scenario,
                  Strategy& strategy, std::vector<Assumption>& assumed);

// Whether the notes say that parameters are gathered beside the next step, which they are of the distributed optimizer.
bool notes_gather_overlap(const MeasuredRun& run);

// Whether gradients are reduced beside the backward pass, and parameters gathered beside the next step. `strategy` has its
// stage of ZeRO.
void set_data_parallel_overlap(const MeasuredRun& run, const RunFramework& framework,
                               const TrainingSpec& training, Strategy& strategy,
                               std::vector<Assumption>& assumed);

}  // namespace shardscope
