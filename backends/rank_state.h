// Reads and writes slices of tensors in one rank's arena, by what they mean instead of where they lie.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// Copies bytes between the host and where an arena is, in either direction; returns when that is done.
using CopyBytes = void (*)(void* to, const void* from, std::size_t bytes);

// A view of an arena, laid out by `plan`; both must outlive it. Not synchronised: use it between steps.
// Values pass as doubles, which hold fp32 and fp64 exactly.
class RankState {
public:
    // `copy`: for arenas in the memory of a device; null: in the host's, where nothing is copied or allocated
    // beside the result.
    RankState(const Plan& plan, Rank rank, std::byte* arena, CopyBytes copy = nullptr)
        : plan_(plan),
          role_(plan.program.roles[plan.program.role_of(rank)]),
          memory_(plan.memory_of(rank)),
          rank_(rank),
          arena_(arena),
          copy_(copy) {}

    // The slices this rank holds (shard_map).
    std::vector<ShardSlice> slices() const { return shard_map(plan_, rank_); }

    std::vector<double> read(const ShardSlice& slice) const;
    void write(const ShardSlice& slice, std::span<const double> values) const;

private:
    std::byte* address(const ShardSlice& slice) const;
    DType dtype(const ShardSlice& slice) const { return role_.buffers[slice.buffer.index()].dtype; }

    const Plan& plan_;
    const RoleProgram& role_;
    const MemoryPlan& memory_;
    Rank rank_;
    std::byte* arena_;
    CopyBytes copy_;
};

// Writes the initial values of every parameter (and master) slice; everything else keeps the arena's
// zeros. `threads` draw them, this one writes; the values do not depend on it.
void write_initial_weights(const Plan& plan, const RankState& state, int threads = 1);

}  // namespace shardscope
