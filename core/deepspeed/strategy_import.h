// A DeepSpeed file as one more strategy of a scenario that is there already.
#pragma once

#include <string>

#include "core/scenario.h"

namespace shardscope {

// The scenario with a strategy named after the file at the end of its list, read as `deepspeed:` in a
// scenario is (scenario_import.h), with the whole training as what the scenario says. Where that disagrees
// with the file, what the scenario has at its default counts as not said, as in a scenario without those
// keys: then `training` changes to what the file says. Throws Error "disagree" where what is left still
// differs, and what reading the file throws.
Scenario with_deepspeed_strategy(const Scenario& scenario, const std::string& path);

}  // namespace shardscope
