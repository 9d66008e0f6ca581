// Pass "context parallel": what one rank of a context-parallel group holds of each sample.
//
// The tokens of a sample are dealt over the group, everything between attentions works on the rank's own.
// Balanced by zig-zag (docs/cost-model.md) every rank has the same number of them and of causal pairs.
#pragma once

#include "core/model/model.h"
#include "core/strategy/strategy.h"

namespace shardscope {

// The model with the tokens of one rank: `model` is one tensor-parallel rank's (tensor_split.h). Parameters
// stay whole. Throws Error "context-parallel" where the model has no tokens, or where tokens or heads do not
// divide: rings and gathers deal 2·cp pieces, Ulysses divides tokens and heads by cp, of key and value heads also cp by them.
Model divide_sequence(Model model, const Strategy& strategy);

}  // namespace shardscope
