// Where every buffer of a role lies in its one arena, planned before anything runs.
//
// A buffer's lifetime is measured in positions of the compute stream: an access by another stream is
// widened to the span between the last compute instruction known to precede it and the first known
// to follow it (through events), so that two buffers with disjoint lifetimes may share bytes whatever
// the streams' relative speed. Planner, simulator and backends use the same plan.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

constexpr std::int64_t kArenaAlignment = 64;  // bytes; every buffer starts at a multiple

// Positions [first, last] of the concatenated bodies of a role, counting compute-stream
// instructions; body b starts at its base.
struct Interval {
    std::int32_t first = 0, last = 0;
    bool overlaps(const Interval& o) const { return first <= o.last && o.first <= last; }
};

struct Lifetime {
    std::vector<Interval> intervals;  // ascending, disjoint; empty: never accessed
};

// One lifetime per buffer of the role; persistent buffers span everything. A transient buffer whose
// first access in some body is a read is carried over from an earlier body (saved activations): it
// lives from the start of every body that reads it first, and to the end of every body that writes
// it first. Other transient buffers live from their first to their last access in each body.
std::vector<Lifetime> lifetimes(const RoleProgram& role);

struct MemoryPlan {
    std::vector<Bytes> offset;  // per buffer, from the arena's start
    Bytes arena;                // size of the one allocation = planned high-water mark
    Bytes live_peak;            // the largest sum of sizes of live buffers: no plan can be smaller
    std::array<Bytes, kCategories> categories;  // at the peak; sums to arena + runtime (slack and
                                                // alignment are counted as workspace)
    Phase peak_phase = Phase::forward;
    Bytes runtime;  // Device::runtime
    Bytes peak() const { return arena + runtime; }
};

MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime);

// Stable text: one line per buffer with offset, size, lifetime; then totals.
std::string to_text(const RoleProgram& role, const MemoryPlan& plan);

}  // namespace shardscope
