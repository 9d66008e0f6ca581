// The one interpreter of Programs: walks one rank's schedule and hands every instruction, operands
// resolved to addresses, to an Executor. All real backends share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "backends/executor.h"
#include "backends/live_buffers.h"
#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {

// The scalars that a step copied to the host; empty when the program copies none. Where a scalar is
// copied several times (a running sum over micro-batches) the last value counts.
struct StepScalars {
    std::optional<double> loss;
    std::optional<double> gradient_norm_squared;
};

// Runs one rank's steps; not thread-safe. Program, plan and executor must outlive it.
class Interpreter {
public:
    // Allocates the arena of `plan`. Throws Error{run_failed, "unsupported"} for instructions that no
    // real backend executes yet.
    Interpreter(const Program& program, Rank rank, const MemoryPlan& plan, Executor& executor);

    // Issues one step (0-based) and waits for all streams. `account`, when given, follows it.
    StepScalars run_step(std::int64_t step, LiveBuffers* account = nullptr);

    std::byte* arena() const { return arena_; }
    std::byte* address_of(BufferId buffer) const {
        return arena_ + plan_.offset[buffer.index()].value;
    }

private:
    void issue(const Instruction& instruction, const StepContext& context, StepScalars& scalars);
    std::byte* resolve(const Operand& operand) const;

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    Executor& executor_;
    std::int64_t data_parallel_index_ = 0;  // what Operand::rank_stride is multiplied with
    std::byte* arena_ = nullptr;
};

}  // namespace shardscope
