// Pass "optimizer": gradient norm, update of the owned shard, and the gather of updated weights.
#pragma once

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// Appends the body "optimizer": sum of tied gradients over the stages that hold them, clipping norm
// over all shards and stages (each element counted once), a step per unit of what this rank owns, all-gathers of weights in stages 1 and 2, and the scalars the host reports (`loss` is
// invalid where the stage has none). Returns the body.
BodyId lower_optimizer(LoweringContext& context, ParameterBuffers& parameters, BufferId loss);

}  // namespace shardscope
