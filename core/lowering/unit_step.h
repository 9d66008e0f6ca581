// Part of the pass "optimizer": the step of one unit, by the optimizer that it belongs to.
#pragma once

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// Where this rank's share of a unit lies in a buffer that holds the whole unit below ZeRO stage `sharded`,
// and only the share from there on.
Operand own_share(const LoweringContext& context, BufferId buffer, const Unit& unit, int sharded,
                  DType type);
constexpr int kGradientsSharded = 2, kParametersSharded = 3, kNeverSharded = 4;

// What the step starts from. `wide`: gradients copied to the state type, or invalid; `norm`: invalid
// without clipping.
struct StepInputs {
    BufferId norm, wide;
};

// Updates what this rank owns of the unit. AdamW, Adam, SGD, Lion and 8-bit states are one kernel over the
// flat share. Two optimizers want matrices whole where ZeRO divides them:
//   Adafactor  every rank keeps the statistics of the whole unit; the ranks add up what their shares
//              contribute to rows and columns, then the norms of update and weights.
//   Muon       momentum is divided as the gradients are; the ranks gather the unit's update in bf16, each
//              orthogonalises all of its matrices, and steps with its own share (Liu et al. 2025,
//              arXiv:2502.16982, algorithm 1).
// Of tensor parallelism every rank takes its part of a matrix for a matrix of its own (Megatron-LM's
// --muon-tp-mode blockwise, its default).
void lower_step(LoweringContext& context, const ParameterBuffers& parameters, UnitId id,
                const StepInputs& inputs);

}  // namespace shardscope
