// What a device does with one rank's instructions. The interpreter (interpreter.h) walks the Program
// and resolves operands to addresses; an Executor only executes, in stream order.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope {

// Operands resolved to addresses, in the kernel's order; null where absent.
using Addresses = std::array<std::byte*, kMaxOperands>;

// Everything a kernel may depend on beside its operands.
struct StepContext {
    std::int64_t step = 0;         // 0-based; the optimizer's bias correction uses step + 1
    std::int32_t micro_batch = 0;  // of the running task
    int data_index = 0;            // of the rank in its data-parallel group
    int tensor_index = 0;          // of the rank in its tensor-parallel group
};

class Executor {
public:
    virtual ~Executor() = default;

    // A task begins. `slot` numbers the places that the body's operands can have: two executions of a
    // body with the same slot have the same addresses. Returns true where the executor does the whole
    // task by itself (it replays what it captured earlier); its instructions are then not issued.
    virtual bool begin_task(BodyId body, std::int32_t slot, const StepContext& context) {
        static_cast<void>(body), static_cast<void>(slot), static_cast<void>(context);
        return false;
    }

    // Issue on a stream; may return before the work is done. Calls come from one thread, in program
    // order. Errors surface here or in synchronize() as Error{run_failed}.
    virtual void compute(Stream stream, const Compute& instruction, const Addresses& operands,
                         const StepContext& context) = 0;
    virtual void collective(Stream stream, const Collective& instruction, const std::byte* send,
                            std::byte* recv) = 0;
    // All transfers at once; addresses in their order.
    virtual void exchange(Stream stream, const Exchange& instruction,
                          std::span<std::byte* const> addresses) = 0;
    virtual void record(Stream stream, EventId event) = 0;
    // For the latest recording issued so far; nothing to wait for before the first.
    virtual void wait(Stream stream, EventId event) = 0;
    // Copies a scalar (one double), after everything issued so far on `stream`, to the host; it is there
    // after synchronize(). `destination` is the same in every step.
    virtual void copy_scalar(Stream stream, const std::byte* value, double* destination) = 0;
    // Waits for all streams.
    virtual void synchronize() = 0;
};

}  // namespace shardscope
