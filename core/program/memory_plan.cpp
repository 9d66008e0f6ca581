#include "core/program/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/checked.h"
#include "core/program/allocation_replay.h"
#include "core/program/frames.h"
#include "core/program/live_profile.h"
#include "core/program/pack.h"

namespace shardscope {
namespace {

std::int64_t aligned(const Buffer& b) { return round_up(b.size().value, kArenaAlignment); }

// Whether a buffer lives in the bodies of chunks, and not in the optimizer's alone.
bool lives_in_chunks(const RoleProgram& role, const Lifetime& life, const LiveProfile& profile) {
    return std::any_of(life.intervals.begin(), life.intervals.end(), [&](const Interval& v) {
        const BodyId body = profile.body_at(static_cast<std::size_t>(v.first));
        return role.bodies[body.index()].chunk >= 0;
    });
}

std::vector<PackItem> pack_items(const RoleProgram& role, const std::vector<Lifetime>& lives,
                                 const FramePlan& frames, Tier tier, bool of_chunks,
                                 const LiveProfile& profile, std::vector<std::size_t>& buffers) {
    std::vector<PackItem> items;
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        const Buffer& b = role.buffers[i];
        if (b.tier != tier || b.residence == Residence::persistent || lives[i].intervals.empty() ||
            frames.frame[i] >= 0 || lives_in_chunks(role, lives[i], profile) != of_chunks)
            continue;
        PackItem item;
        item.size = aligned(b);
        // More bodies than an item has spans: the last span covers the rest.
        for (const Interval& v : lives[i].intervals) {
            if (item.span_count < PackItem::kMaxSpans)
                item.spans[static_cast<std::size_t>(item.span_count++)] = {v.first, v.last};
            else
                item.spans[PackItem::kMaxSpans - 1].last = v.last;
        }
        item.stacked = lives[i].carried && b.category == Category::activations;
        items.push_back(item);
        buffers.push_back(i);
    }
    return items;
}

// Largest sum of rounded sizes of what `items` hold at one position.
std::int64_t largest_sum(const std::vector<PackItem>& items, std::size_t positions) {
    std::vector<std::int64_t> change(positions + 1, 0);
    for (const PackItem& item : items)
        for (int s = 0; s < item.span_count; ++s) {
            const auto& span = item.spans[static_cast<std::size_t>(s)];
            change[static_cast<std::size_t>(span.first)] += item.size;
            change[static_cast<std::size_t>(span.last) + 1] -= item.size;
        }
    std::int64_t sum = 0, largest = 0;
    for (const std::int64_t c : change) largest = std::max(largest, sum += c);
    return largest;
}

std::size_t positions_of(const RoleProgram& role, const LiveProfile& profile) {
    return profile.first_position(BodyId(role.bodies.size()));
}

MemoryPlan empty_plan(const RoleProgram& role, Bytes runtime) {
    MemoryPlan plan;
    plan.runtime = runtime;
    plan.offset.assign(role.buffers.size(), Bytes(0));
    plan.frame.assign(role.buffers.size(), -1);
    return plan;
}

// A tier's persistent buffers from 0 on; returns where they end.
std::int64_t place_persistent(const RoleProgram& role, Tier tier, MemoryPlan& plan) {
    std::int64_t end = 0;
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        if (role.buffers[i].tier != tier || role.buffers[i].residence != Residence::persistent)
            continue;
        plan.offset[i] = Bytes(end);
        end = checked_add(end, aligned(role.buffers[i]), "the memory plan");
    }
    return end;
}

// Adds a tier's frames to the plan, behind its persistent buffers; returns where they end.
std::int64_t place_frames(const FramePlan& frames, std::int64_t persistent, MemoryPlan& plan) {
    const auto first = static_cast<std::int32_t>(plan.frames.size());
    for (std::size_t i = 0; i < frames.frame.size(); ++i) {
        if (frames.frame[i] < 0) continue;
        plan.offset[i] = frames.offset[i];
        plan.frame[i] = first + frames.frame[i];
    }
    for (Frame frame : frames.frames) {
        for (Bytes& base : frame.base) base += Bytes(persistent);
        plan.frames.push_back(std::move(frame));
    }
    return checked_add(persistent, frames.extent.value, "the memory plan");
}

// Persistent buffers, then the frames, then everything that lives within one body of a chunk: bodies
// run one after the other, so that last part is packed once for all of them. When the optimizer runs
// no micro-batch is in flight: what lives there alone lies where frames and the last part were.
// Returns the size of the tier's arena.
Bytes place_tier(const RoleProgram& role, const std::vector<Lifetime>& lives, Tier tier,
                 const FramePlan& frames, const LiveProfile& profile, Packer& packer,
                 MemoryPlan& plan) {
    const std::int64_t persistent = place_persistent(role, tier, plan);
    const std::int64_t framed = place_frames(frames, persistent, plan);
    const std::size_t positions = positions_of(role, profile);
    Bytes arena(framed);
    for (const bool of_chunks : {true, false}) {
        std::vector<std::size_t> buffers;
        auto items = pack_items(role, lives, frames, tier, of_chunks, profile, buffers);
        const std::int64_t enough = largest_sum(items, positions);
        const Packing& packing =
            packer.pack(std::move(items), static_cast<std::int32_t>(positions), enough);
        const std::int64_t base = of_chunks ? framed : persistent;
        for (std::size_t k = 0; k < buffers.size(); ++k)
            plan.offset[buffers[k]] = Bytes(base + packing.offset[k]);
        arena = std::max(arena, Bytes(checked_add(base, packing.extent, "the memory plan")));
    }
    return arena;
}

// The arenas of the host's memory and of NVMe.
void place_beside(const RoleProgram& role, const std::vector<Lifetime>& lives,
                  const LiveProfile& profile, Packer& packer, MemoryPlan& plan) {
    const auto place = [&](Tier tier) {
        const bool used = std::ranges::any_of(
            role.buffers, [tier](const Buffer& buffer) { return buffer.tier == tier; });
        if (!used) return Bytes(0);
        return place_tier(role, lives, tier, plan_frames(role, lives, tier), profile, packer, plan);
    };
    plan.beside.host = place(Tier::host);
    plan.beside.nvme = place(Tier::nvme);
}

// What is at the peak; what the arena has beyond it is workspace.
void set_peak(MemoryPlan& plan, const LiveProfile::Moment& peak) {
    plan.peak_phase = peak.phase;
    plan.live_peak = peak.live;
    plan.categories = peak.categories;
    plan.categories[static_cast<std::size_t>(Category::workspace)] += plan.arena - peak.live;
    plan.categories[static_cast<std::size_t>(Category::runtime)] += plan.runtime;
}

// What a caching allocator with that much memory takes. Whether a block that is free is cut, and so cannot be given
// back, is decided by the order of allocations, which the replay has not to the byte: what does not fit is tried with
// a little less, where more is given back before.
AllocationReplay replay_within(const RoleProgram& role, const std::vector<Lifetime>& lives,
                               Segments segments, std::size_t fullest, Bytes memory) {
    AllocationReplay best = replay_allocations(role, lives, segments, fullest, memory);
    for (const double part : {0.97, 0.94, 0.91}) {
        if (best.reserved <= memory || best.allocated > memory) break;
        const Bytes less(std::llround(part * static_cast<double>(memory.value)));
        const AllocationReplay other = replay_allocations(role, lives, segments, fullest, less);
        if (other.reserved < best.reserved) best = other;
    }
    return best;
}

}  // namespace

MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime, Packer& packer) {
    MemoryPlan plan = empty_plan(role, runtime);
    const std::vector<Lifetime> lives = lifetimes(role);
    const FramePlan frames = plan_frames(role, lives);
    const LiveProfile profile(role, lives, frames);
    plan.arena = place_tier(role, lives, Tier::device, frames, profile, packer, plan);
    set_peak(plan, profile.peak());
    place_beside(role, lives, profile, packer, plan);
    return plan;
}

MemoryPlan plan_caching_memory(const RoleProgram& role, Bytes runtime, Packer& packer,
                               Segments segments, Bytes memory) {
    MemoryPlan plan = empty_plan(role, runtime);
    plan.caching = true;
    const std::vector<Lifetime> lives = lifetimes(role);
    const FramePlan frames = plan_frames(role, lives);
    const LiveProfile profile(role, lives, frames);
    const LiveProfile::Moment peak = profile.peak();
    const AllocationReplay replay =
        replay_within(role, lives, segments, peak.task, memory - runtime);
    plan.arena = replay.reserved;
    plan.retries = replay.retries;
    set_peak(plan, peak);
    plan.live_peak = replay.allocated;
    place_beside(role, lives, profile, packer, plan);
    return plan;
}

MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime) {
    Packer packer;
    return plan_memory(role, runtime, packer);
}

}  // namespace shardscope
