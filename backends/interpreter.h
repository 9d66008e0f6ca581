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
    // Allocates the arena of `plan`.
    Interpreter(const Program& program, Rank rank, const MemoryPlan& plan, Executor& executor);

    // Issues one step (0-based) and waits for all streams. `account`, when given, follows it.
    StepScalars run_step(std::int64_t step, LiveBuffers* account = nullptr);

    std::byte* arena() const { return arena_; }

private:
    void issue(const Instruction& instruction, StepScalars& scalars);
    std::byte* resolve(const Operand& operand) const;

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    Executor& executor_;
    StepContext context_;                // of the running task
    std::vector<std::byte*> addresses_;  // of an exchange; kept, so that a call does not allocate
    std::byte* arena_ = nullptr;
};

}  // namespace shardscope
