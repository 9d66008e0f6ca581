// Changes of a scenario at random, all to values that a scenario file can hold.
#pragma once

#include <random>

#include "core/scenario.h"

namespace shardscope::test {

// One change of the training, the cluster's size, the model's sequence, or a strategy.
void change(Scenario& scenario, std::mt19937& random);

}  // namespace shardscope::test
