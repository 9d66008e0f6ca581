// Whether a role's accesses to its arena make sense with the places of a plan.
#pragma once

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {

// Follows two steps of the role, so that the end of one meets the start of the next, and throws
// Error{run_failed}:
//   program-bounds         a place outside the arena or the frame, or a micro-batch without a place
//   program-uninitialised  a transient buffer (of a micro-batch, in a frame) is read before anything
//                          wrote it
//   program-overlap        a buffer is read after another one, or another micro-batch of its own, was
//                          written over it, or a persistent one is written over
//   program-race           two accesses to the same bytes, one of them a write, that no chain of stream
//                          order and events puts in order (arena reuse included)
// It takes nothing from the planner but places, and time that is linear in the unrolled program but
// for how many buffers overlap one.
void check_arena(const RoleProgram& role, const MemoryPlan& plan);

}  // namespace shardscope
