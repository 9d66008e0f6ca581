// How large each operand of a kernel is.
#pragma once

#include <array>
#include <cstdint>

#include "core/program/instruction.h"

namespace shardscope {

// One operand: how many elements, and for tokens and targets what they are below.
struct OperandSize {
    std::int64_t elements = 0;
    std::int64_t limit = 1;
};

// In the kernel's order; 0 elements where the kernel's fields make an operand absent. Of what type they
// are says operand_dtypes() of operand_types.h.
std::array<OperandSize, kMaxOperands> operand_sizes(const Kernel& kernel);

}  // namespace shardscope
