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

    // The arena: one allocation of `size` bytes, aligned to at least kArenaAlignment, zero-filled.
    virtual std::byte* allocate_arena(Bytes size) = 0;

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
    // The value of a device scalar after everything issued so far on `stream`.
    virtual double read_scalar(Stream stream, const std::byte* value) = 0;
    // Waits for all streams.
    virtual void synchronize() = 0;
};

}  // namespace shardscope
