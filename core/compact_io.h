// Scenarios as people write them: names of the catalogues where they match, with what differs beside
// them, and nothing that is a default.
#pragma once

#include <string>

#include "core/scenario_io.h"

namespace shardscope {

// YAML that parse_scenario, given scenario.file and these options, reads back to an equal value. Data
// files inside the folder of scenario.file are written relative to it. `this_machine: {ranks: …}` is
// written where that is what the options yield; otherwise the whole description is.
std::string scenario_to_compact_yaml(const Scenario& scenario, const ParseOptions& options);
// The same as JSON text.
std::string scenario_to_compact_json(const Scenario& scenario, const ParseOptions& options);

// The `training:` of a scenario with every key, and without those that are defaults.
std::string training_to_yaml(const TrainingSpec& training);
std::string training_to_compact_yaml(const TrainingSpec& training);

}  // namespace shardscope
