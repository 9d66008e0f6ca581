// What it means that two runs train the same model.
//
// Tolerances are relative differences ‖Δ‖₂/‖reference‖₂. What differs between shardings is the order
// of sums, so errors are a few units in the last place of each sum, carried through 20 steps: fp64 per
// tensor 1e-11; fp32 whole model 1e-5, per tensor 1e-4.
#pragma once

#include "tests/support/training.h"

namespace shardscope::test {

struct Tolerance {
    double whole, tensor;
};
Tolerance tolerance_of(DType precision);

// Expects gradients of steps 1 and 2, weights after the last, losses and the first norms to agree, and
// replicas to be equal bit for bit.
void expect_same_training(const Trained& actual, const Trained& reference, DType precision);

// To the byte: what the account saw on every rank is what the plan said.
void expect_planned_memory(const Trace& trace, const Plan& plan);

}  // namespace shardscope::test
