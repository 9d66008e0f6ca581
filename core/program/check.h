// Static checks of a Program: run on everything before it is executed, and by tests on every
// scenario; simulations skip them for speed.
#pragma once

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {

// Throws Error (kind run_failed, rule "program-…") when the program contradicts itself:
//   program-event       an event waited for before it is recorded in the same body, or recorded twice
//   program-collective  ranks of a group issue different collectives or in another order
//   program-bounds      an operand that starts outside its buffer
//   program-overlap     two buffers whose lifetimes meet share arena bytes
//   program-race        two accesses, one of them a write, to the same arena bytes that no chain of
//                       stream order and events puts in order (arena reuse included)
//   program-uninitialised  a transient buffer read before anything wrote it
void check_program(const Program& program, const std::vector<MemoryPlan>& plans);

}  // namespace shardscope
