// Pass "optimizer": gradient norm, update of the owned shard, and the gather of updated weights.
#pragma once

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// Appends the body "optimizer": clipping norm over all shards (each element counted once), one
// OptimizerStep per unit over what this rank owns, all-gathers of weights in stages 1 and 2, and the
// scalars the host reports. Returns the body.
BodyId lower_optimizer(Context& context, ParameterBuffers& parameters, BufferId loss);

}  // namespace shardscope
