// Live bytes by category while each instruction of each task runs.
//
// Two small tables whose entries are added, because a step has a million moments: what lives at each
// place of each body, and what other micro-batches keep during each task.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/program/memory_plan.h"

namespace shardscope {

using CategoryBytes = std::array<Bytes, kCategories>;

class LiveCategories {
public:
    explicit LiveCategories(const RoleProgram& role);  // keeps no reference

    // While a compute-stream instruction of a task runs: sizes, not rounded, `runtime` not among them.
    CategoryBytes at(std::int32_t task, std::int32_t instruction) const;
    // Their sum: MemorySample::live. The largest of a step is MemoryPlan::live_peak.
    Bytes total(std::int32_t task, std::int32_t instruction) const;

    // As memory_timeline, with a sample for every change of any category. `role`: the constructor's.
    std::vector<MemorySample> timeline(const RoleProgram& role) const;

private:
    struct Sums {
        CategoryBytes categories{};
        Bytes total;
    };
    const Sums& of_position(std::int32_t task, std::int32_t instruction) const;
    const Sums& of_task(std::int32_t task) const { return tasks_[static_cast<std::size_t>(task)]; }

    std::vector<std::size_t> bodies_;                      // per task
    std::vector<std::vector<std::uint32_t>> position_of_;  // per body and instruction
    std::vector<Sums> positions_;
    std::vector<Sums> tasks_;  // frames of other micro-batches
};

}  // namespace shardscope
