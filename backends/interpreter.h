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
    // `arena`: plan.arena bytes, aligned to kArenaAlignment.
    Interpreter(const Program& program, Rank rank, const MemoryPlan& plan, Executor& executor,
                std::byte* arena);
    Interpreter(const Interpreter&) = delete;
    Interpreter& operator=(const Interpreter&) = delete;

    // Issues one step (0-based) and waits for all streams. `account`, when given, follows it.
    StepScalars run_step(std::int64_t step, LiveBuffers* account = nullptr);

    // Where the operands of one of the role's instructions lie for a micro-batch.
    Addresses addresses_of(const Compute& compute, std::int32_t micro_batch) const;

private:
    void run_task(const Task& task, LiveBuffers* account);
    void issue(const Instruction& instruction);
    std::byte* resolve(const Operand& operand, std::int32_t micro_batch) const;
    std::byte* resolve(const Operand& operand) const {
        return resolve(operand, context_.micro_batch);
    }

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    Executor& executor_;
    StepContext context_;                // of the running task
    std::vector<std::byte*> addresses_;  // of an exchange; kept, so that a call does not allocate
    std::byte* arena_;
    std::vector<std::vector<std::int32_t>> slots_;  // [body][micro-batch]
    double loss_ = 0, gradient_norm_squared_ = 0;   // where the step's copies go
    bool copies_loss_ = false, copies_norm_ = false;
};

}  // namespace shardscope
