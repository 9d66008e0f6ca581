// Times one compute instruction on the CPU kernels, with operands of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/executor.h"
#include "cli/measure_clock.h"
#include "core/program/instruction.h"

namespace shardscope {

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
