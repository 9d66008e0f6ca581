// When each transient buffer of a role is used for the last time, read from the program; of the plan
// only which buffers every micro-batch has a copy of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/program/buffer_copies.h"
#include "core/program/program.h"

namespace shardscope {

// The end of one life of a buffer: its last access in issue order.
struct LifeEnd {
    std::int32_t task = 0;         // index in RoleProgram::schedule
    std::int32_t instruction = 0;  // index in the task's body
    CopyId copy;
};

// One entry per life of every transient buffer in one step, ordered by task and instruction. A life
// begins where a task writes a buffer before reading it, and goes on through later tasks that read it
// first: an activation lives from the forward that saves it to the last body that uses it. A copy
// that belongs to one micro-batch has one life: from its first access to its last.
std::vector<LifeEnd> life_ends(const RoleProgram& role, const BufferCopies& copies);

}  // namespace shardscope
