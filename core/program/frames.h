// Internal to the planner: which buffers need a place per micro-batch in flight, and where those lie.
#pragma once

#include <cstdint>
#include <vector>

#include "core/program/memory_plan.h"

namespace shardscope {

// Frames of a role and how long each micro-batch's lives, in indices of the schedule.
struct FramePlan {
    std::vector<std::int32_t> frame;  // per buffer, −1: none
    std::vector<Bytes> offset;        // per buffer in a frame, from the frame's base
    std::vector<Frame> frames;        // sizes are rounded up to the alignment of what they hold
    // Per frame and micro-batch: first and last task that use it; first > last: none does.
    std::vector<std::vector<Interval>> lives;
    std::vector<std::vector<bool>> used_by;  // per frame and body
    Bytes extent;                            // bytes that all frames take; bases count from 0
};

// Frames of the buffers of one tier. Without two micro-batches in flight at any time there are none. `lives`
// is lifetimes(role).
FramePlan plan_frames(const RoleProgram& role, const std::vector<Lifetime>& lives,
                      Tier tier = Tier::device);

}  // namespace shardscope
