// What a device does with one rank's instructions. The interpreter (interpreter.h) walks the Program
// and resolves operands to addresses; an Executor only executes, in stream order.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope {

// Operands resolved to addresses, in the kernel's order; null where absent.
using Addresses = std::array<std::byte*, kMaxOperands>;

// Everything a kernel may depend on beside its operands.
struct StepContext {
    std::int64_t step = 0;         // 0-based; the optimizer's bias correction uses step + 1
    std::int32_t micro_batch = 0;  // of the running task
};

class Executor {
public:
    virtual ~Executor() = default;

    // The arena: one allocation of `size` bytes, aligned to at least kArenaAlignment, zero-filled.
    virtual std::byte* allocate_arena(Bytes size) = 0;

    // Issue on a stream; may return before the work is done. Calls come from one thread, in program
    // order. Errors surface here or in synchronize() as Error{run_failed}.
    virtual void compute(Stream stream, const Compute& instruction, const Addresses& operands,
                         const StepContext& context) = 0;
    virtual void collective(Stream stream, const Collective& instruction, const std::byte* send,
                            std::byte* recv) = 0;
    virtual void record(Stream stream, EventId event) = 0;
    virtual void wait(Stream stream, EventId event) = 0;
    // The value of a device scalar after everything issued so far on `stream`.
    virtual double read_scalar(Stream stream, const std::byte* value) = 0;
    // Waits for all streams.
    virtual void synchronize() = 0;
    // Called once at the start of each body: events are free to be recorded again.
    virtual void begin_body() = 0;
};

}  // namespace shardscope
