// Static checks of a Program: run on everything before it is executed, and by tests on every
// scenario; simulations skip them for speed.
#pragma once

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {

// Throws Error (kind run_failed) when the program contradicts itself:
//   program-event       an event that is recorded by two instructions, or waited for and by none
//   program-bounds      an operand that starts outside its buffer, or a buffer outside its arena
//   …                   what check_arena.h finds in each role
//   …                   what check_communication.h finds between the roles
//   deadlock            see check_progress.h
void check_program(const Program& program, const std::vector<MemoryPlan>& plans);

}  // namespace shardscope
