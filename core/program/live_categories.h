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
    // The sum is MemorySample::live, and its largest MemoryPlan::live_peak.
    CategoryBytes at(std::int32_t task, std::int32_t instruction) const;
    Bytes total(std::int32_t task, std::int32_t instruction) const;

    // One place per change of any category, in the order of the schedule; the first one is the step's
    // start. (memory_timeline has those that change the sum.)
    std::vector<MemorySample> timeline() const;

private:
    struct Sums {
        CategoryBytes categories{};
        Bytes total;
    };
    std::size_t position(std::int32_t task, std::int32_t instruction) const;

    std::vector<std::size_t> body_;                     // per task
    std::vector<std::vector<std::uint32_t>> position_;  // per body and instruction
    std::vector<Sums> positions_;                       // per position
    std::vector<Sums> tasks_;                           // per task: frames of other micro-batches
};

}  // namespace shardscope
