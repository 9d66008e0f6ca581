// Which optimizer steps which parameter, and what it keeps for it. docs/memory-model.md has the bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// Of 8-bit states (bitsandbytes 0.44 and later, optim/optimizer.py: blocksize and min_8bit_size): elements
// that share a scale, and what a tensor has at least; of smaller ones the states stay in fp32.
constexpr std::int64_t kQuantisedBlock = 256, kSmallest8Bit = 4096;

// Per parameter of one rank's model: the scenario's optimizer, or AdamW for what that leaves to it. Muon
// takes the matrices of blocks, and of layer lists those between the first and the last linear layer;
// embeddings, classifiers, norms and biases are AdamW's. 8-bit states leave out small tensors.
std::vector<OptimizerKind> steppers_of(const Model& model, const OptimizerSpec& optimizer);

// The last two dimensions of a parameter as a matrix; `count` of them, as experts have.
struct MatrixShape {
    std::int64_t count = 1, rows = 0, cols = 0;  // no rows: it is a vector
};
MatrixShape matrix_of(const Parameter& parameter);

// Numbers that Adafactor keeps of a tensor: a row's and a column's sums, or every element of a vector.
std::int64_t factored_statistics(const Parameter& parameter);

// The scenario's optimizer as it steps the unit.
OptimizerSpec stepping(OptimizerSpec optimizer, const Unit& unit);
// Of the unit as this rank steps it. A block lies within one tensor, and that is a parameter, or where ZeRO
// divides the unit the rank's flat shard.
std::int64_t quantised_blocks(const Model& model, const Unit& unit, bool sharded);
std::int64_t factored_statistics(const Model& model, const Unit& unit);

// Bytes of the optimizer's state of the whole model, held once and whole.
std::int64_t optimizer_state_bytes(const Model& model, const TrainingSpec& training);

// Throws Error "optimizer" where the optimizer makes no sense: Adafactor and Muon want whole matrices, which
// products with ZeRO each put together in another way; Muon wants a hidden layer.
void check_optimizer(const Model& model, const TrainingSpec& training, const Strategy& strategy);

}  // namespace shardscope
