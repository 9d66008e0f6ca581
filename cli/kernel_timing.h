// Times one compute instruction on the CPU kernels, with operands of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/executor.h"
#include "cli/measure_clock.h"
#include "core/program/instruction.h"

namespace shardscope {

// One operand: how many elements, and for tokens and targets what they are below.
struct OperandSize {
    std::int64_t elements = 0;
    std::int64_t limit = 1;
};
// In the kernel's order; 0 elements where the kernel's fields make an operand absent. Of what type they
// are says operand_dtypes() of core/program/operand_types.h.
std::array<OperandSize, kMaxOperands> operand_sizes(const Kernel& kernel);

// Operands rotate through several sets, as in a training step, where the caches hold what other
// kernels used in between; the operands of successive calls together exceed a core's own cache.
class KernelTiming {
public:
    explicit KernelTiming(const Compute& compute);
    KernelTiming(KernelTiming&&) = default;  // a copy's operands would be the original's
    void call();
    Seconds median(const Repeats& repeats);

private:
    Compute compute_;
    std::vector<std::byte> memory_;
    std::vector<Addresses> sets_;
    std::size_t next_ = 0;
};

}  // namespace shardscope
