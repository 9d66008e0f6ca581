// Internal to the planner: a role's buffers as a product's runtime allocates them, one by one when they are
// first written and freed after their last use, instead of in one planned arena.
#pragma once

#include <vector>

#include "core/program/caching_allocator.h"
#include "core/program/memory_plan.h"

namespace shardscope {

struct AllocationReplay {
    Bytes allocated;           // largest sum of live blocks, each rounded as the allocator does
    Bytes reserved;            // most that was in segments
    std::int64_t retries = 0;  // in the second step: CachingAllocator::retries
};

// Two steps of the schedule through a CachingAllocator, so that the second one finds what the first left.
// Buffers are of the stream that first touches them, those of collectives beside multiplies and of transfers of
// the compute stream. Of many micro-batches only the first ones and the last one are replayed, since those between
// repeat them: so many first ones as are ever in flight, and a few more, and all that begin by `fullest`, the task of
// the schedule in which most is live; where that is one of the last micro-batch, those that are in flight then instead.
// `lives` is lifetimes(role), `limit` what the device has for segments.
AllocationReplay replay_allocations(const RoleProgram& role, const std::vector<Lifetime>& lives,
                                    Segments segments, std::size_t fullest = 0,
                                    Bytes limit = CachingAllocator::kUnlimited);

}  // namespace shardscope
