// Rows of measured runs, made by hand.
#pragma once

#include "core/validation/measured_run.h"

namespace shardscope::test {

// With every cell filled that a dense model has: Megatron's on two nodes of A100, 4 × 2 × 2.
MeasuredRun full_row();

}  // namespace shardscope::test
