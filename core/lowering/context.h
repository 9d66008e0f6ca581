// What every lowering pass reads: the inputs, the numbers that follow, and the builder it writes to.
#pragma once

#include <vector>

#include "core/lowering/builder.h"
#include "core/lowering/plan.h"
#include "core/lowering/units.h"

namespace shardscope {

struct Context {
    const Model& model;
    const TrainingSpec& training;
    const Strategy& strategy;
    const ExecutionTarget& target;
    Layout layout;
    int zero = 0;    // effective stage: 0 when dp is 1
    DType storage;   // activations and the parameters that kernels read
    DType gradient;  // parameter gradients
    DType state;     // moments, master weights, statistics: fp32, or fp64 in fp64
    GroupId dp;      // invalid when dp is 1
    std::vector<Unit> units;
    std::vector<Place> places;  // per parameter
    RoleBuilder builder;

    bool master() const { return storage == DType::bf16; }
    std::int64_t rows() const { return layout.micro_batch * model.seq; }
};

// Which micro-batches of a step run a body: bodies differ where gradients are first written and
// where they are reduced.
struct MicroBatchKind {
    bool first = true, last = true;
};

}  // namespace shardscope
