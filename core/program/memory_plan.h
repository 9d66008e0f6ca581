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

#include "core/program/caching_allocator.h"
#include "core/program/program.h"
#include "core/program/runtime_memory.h"
#include "core/units.h"

namespace shardscope {

class Packer;  // core/program/pack.h

constexpr std::int64_t kArenaAlignment = 64;  // bytes; every buffer starts at a multiple

// Positions [first, last] of the concatenated bodies of a role, counting compute-stream
// instructions; body b starts at its base.
struct Interval {
    std::int32_t first = 0, last = 0;
    bool overlaps(const Interval& o) const { return first <= o.last && o.first <= last; }
};

struct Lifetime {
    std::vector<Interval> intervals;  // ascending, disjoint; empty: never accessed
    bool carried = false;             // transient, and some body reads what an earlier one wrote
};

// One lifetime per buffer of the role; persistent buffers span everything. A transient buffer whose
// first access in some body is a read is carried over from an earlier body (saved activations): it
// lives on through all bodies that a micro-batch of the chunk runs between the first and the last one
// that use it. Other transient buffers live from their first to their last access in each body.
std::vector<Lifetime> lifetimes(const RoleProgram& role);

// Buffers that later bodies of a micro-batch read, when a pipeline keeps several micro-batches in
// flight: all those of one chunk that live from the same body to the same body. Every micro-batch has
// its own frame for as long as its tasks need it; frames of micro-batches that are not in flight
// together may share bytes.
struct Frame {
    int chunk = 0;
    Bytes size;
    std::vector<Bytes> base;  // per micro-batch, from the arena's start
};

// Bytes beside the device.
struct BesideDevice {
    Bytes host, nvme;
    Bytes of(Tier tier) const {
        return tier == Tier::host ? host : tier == Tier::nvme ? nvme : Bytes(0);
    }
    bool any() const { return host.value > 0 || nvme.value > 0; }
    bool operator==(const BesideDevice&) const = default;
};

// What lies in the host's memory or on NVMe (Buffer::tier) has places in arenas of its own, one per tier and
// rank; all that is said of `arena`, peaks and categories is of the device alone.
struct MemoryPlan {
    // A product's plan: nothing has an offset, `arena` is what its caching allocator reserves, and
    // live_peak what it has allocated at most. `retries` is how often in a step it gives back memory that is free,
    // for more to be taken (PyTorch's num_alloc_retries).
    bool caching = false;
    std::int64_t retries = 0;
    // Per buffer, from the start of its tier's arena, or from the frame's base for buffers in a frame.
    std::vector<Bytes> offset;
    std::vector<std::int32_t> frame;  // per buffer: index into `frames`, −1: in none
    std::vector<Frame> frames;
    Bytes arena;      // size of the one allocation = planned high-water mark
    Bytes live_peak;  // the largest sum of sizes of live buffers: no plan can be smaller
    std::array<Bytes, kCategories> categories;  // at the peak; sums to arena + runtime (slack and
                                                // alignment are counted as workspace)
    Phase peak_phase = Phase::forward;
    Bytes runtime;                // outside the arena
    RuntimeMemory runtime_parts;  // what it is the sum of
    BesideDevice beside;          // sizes of the arenas beside the device's
    Bytes peak() const { return arena + runtime; }

    // Where a buffer lies for the tasks of a micro-batch.
    Bytes place(BufferId buffer, std::int32_t micro_batch) const {
        const std::int32_t f = frame[buffer.index()];
        if (f < 0) return offset[buffer.index()];
        return offset[buffer.index()] +
               frames[static_cast<std::size_t>(f)].base[static_cast<std::size_t>(micro_batch)];
    }
};

MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime);
// The same; `packer` serves all roles of a program.
MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime, Packer& packer);

// The same for a product that allocates buffers one by one (core/program/caching_allocator.h), on a device with
// `memory` bytes, of which `runtime` are taken.
MemoryPlan plan_caching_memory(const RoleProgram& role, Bytes runtime, Packer& packer,
                               Segments segments, Bytes memory);

// Live bytes of the device (persistent, transient and in frames; sizes, not rounded) while a compute-stream
// instruction of a task runs.
struct MemorySample {
    std::int32_t task = 0;         // index in RoleProgram::schedule
    std::int32_t instruction = 0;  // index in the task's body
    Bytes live;
};
// One sample per change, in the order of the schedule; the first one is the step's start.
std::vector<MemorySample> memory_timeline(const RoleProgram& role);

// Stable text: one line per buffer with offset, size, lifetime; then totals.
std::string to_text(const RoleProgram& role, const MemoryPlan& plan);

}  // namespace shardscope
