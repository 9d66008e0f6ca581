// What no backend can do although it can be planned and simulated.
#pragma once

#include "core/lowering/plan.h"

namespace shardscope {

// Throws Error (invalid_input, "simulated-only") where the plan is one that only the simulator runs:
// another product's profile, context parallelism, tensor-parallel multiplies in pieces, sharding over a part of
// the replicas, fp16, multiplies in another format than operands are stored in, a mixture of experts, latent
// attention, or an optimizer other than AdamW, Adam, SGD and Lion.
void expect_executable(const Plan& plan);

}  // namespace shardscope
