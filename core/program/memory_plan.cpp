#include "core/program/memory_plan.h"

#include <algorithm>

#include "core/checked.h"
#include "core/program/pack.h"

namespace shardscope {
namespace {

std::int64_t aligned(const Buffer& b) { return round_up(b.size().value, kArenaAlignment); }

// Phase of every position, for naming the peak's.
std::vector<Phase> phases_of(const RoleProgram& role) {
    std::vector<Phase> phases;
    for (const Body& body : role.bodies) {
        const std::size_t before = phases.size();
        for (const Instruction& i : body.instructions)
            if (i.stream == Stream::compute) phases.push_back(i.phase);
        if (phases.size() == before) phases.push_back(Phase::optimizer);
    }
    return phases;
}

std::vector<PackItem> pack_items(const RoleProgram& role, const std::vector<Lifetime>& lives,
                                 std::vector<std::size_t>& buffers) {
    std::vector<PackItem> items;
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        const Buffer& b = role.buffers[i];
        if (b.residence == Residence::persistent || lives[i].intervals.empty()) continue;
        PackItem item;
        item.size = aligned(b);
        // More bodies than an item has spans: the last span covers the rest.
        for (const Interval& v : lives[i].intervals) {
            if (item.span_count < PackItem::kMaxSpans)
                item.spans[static_cast<std::size_t>(item.span_count++)] = {v.first, v.last};
            else
                item.spans[PackItem::kMaxSpans - 1].last = v.last;
        }
        item.stacked = b.category == Category::activations;
        items.push_back(item);
        buffers.push_back(i);
    }
    return items;
}

// Live bytes per position and, at one position, per category.
struct LiveSums {
    std::vector<std::int64_t> total;
    explicit LiveSums(std::size_t positions) : total(positions + 1, 0) {}
    void add(const Lifetime& life, std::int64_t size) {
        for (const Interval& v : life.intervals) {
            total[static_cast<std::size_t>(v.first)] += size;
            total[static_cast<std::size_t>(v.last) + 1] -= size;
        }
    }
    std::size_t integrate() {  // returns the position of the peak
        for (std::size_t p = 1; p < total.size(); ++p) total[p] += total[p - 1];
        return static_cast<std::size_t>(std::max_element(total.begin(), total.end()) -
                                        total.begin());
    }
};

bool lives_at(const Lifetime& life, std::size_t position) {
    const auto p = static_cast<std::int32_t>(position);
    return std::any_of(life.intervals.begin(), life.intervals.end(),
                       [&](const Interval& v) { return v.first <= p && p <= v.last; });
}

void account(MemoryPlan& plan, const RoleProgram& role, const std::vector<Lifetime>& lives,
             std::size_t peak) {
    plan.categories.fill(Bytes(0));
    Bytes live(0);
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        if (!lives_at(lives[i], peak)) continue;
        plan.categories[static_cast<std::size_t>(role.buffers[i].category)] +=
            role.buffers[i].size();
        live += role.buffers[i].size();
    }
    plan.live_peak = live;
    plan.categories[static_cast<std::size_t>(Category::workspace)] += plan.arena - live;
    plan.categories[static_cast<std::size_t>(Category::runtime)] += plan.runtime;
}

}  // namespace

MemoryPlan plan_memory(const RoleProgram& role, Bytes runtime) {
    MemoryPlan plan;
    plan.runtime = runtime;
    plan.offset.assign(role.buffers.size(), Bytes(0));
    plan.frame.assign(role.buffers.size(), -1);
    const std::vector<Lifetime> lives = lifetimes(role);
    const std::vector<Phase> phases = phases_of(role);

    std::int64_t persistent = 0;
    LiveSums sums(phases.size()), transient(phases.size());
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        const Buffer& b = role.buffers[i];
        sums.add(lives[i], b.size().value);
        if (b.residence == Residence::persistent) {
            plan.offset[i] = Bytes(persistent);
            persistent = checked_add(persistent, aligned(b), "the memory plan");
        } else {
            transient.add(lives[i], aligned(b));
        }
    }
    std::vector<std::size_t> buffers;
    const auto items = pack_items(role, lives, buffers);
    const std::size_t busiest = transient.integrate();
    const Packing packing =
        pack(items, static_cast<std::int32_t>(phases.size()), transient.total[busiest]);
    for (std::size_t k = 0; k < buffers.size(); ++k)
        plan.offset[buffers[k]] = Bytes(persistent + packing.offset[k]);
    plan.arena = Bytes(checked_add(persistent, packing.extent, "the memory plan"));

    const std::size_t peak = sums.integrate();
    plan.peak_phase = phases[std::min(peak, phases.size() - 1)];
    account(plan, role, lives, peak);
    return plan;
}

}  // namespace shardscope
