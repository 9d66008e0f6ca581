// What lies in a rank's memory at every moment of a step, by category.
//
// A step has up to a million changes, so a change is kept as a time and a place in the program (16
// bytes), and its bytes are looked up (core/program/live_categories.h). Immutable; may be shared between
// threads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/program/live_categories.h"
#include "core/report/trace.h"

namespace shardscope::gui {

// Live bytes from `time` on, `runtime` included; without the arena's slack.
struct MemoryPoint {
    std::int64_t time = 0;  // nanoseconds from the step's start
    std::array<Bytes, kCategories> categories{};
    Bytes total() const;
};

class MemoryOverTime {
public:
    // Of a rank that runs `role`; `spans`: its trace's. `runtime` is there all the time.
    MemoryOverTime(const RoleProgram& role, std::span<const Span> spans, Bytes runtime);

    // Changes in order of time; several may have the same time, the last of them holds from then on.
    std::size_t size() const { return changes_.size(); }
    bool empty() const { return changes_.empty(); }
    MemoryPoint operator[](std::size_t index) const;
    std::int64_t time(std::size_t index) const { return changes_[index].time; }
    Bytes total(std::size_t index) const;

    // The change that holds at a time; 0 before the first one. Not for an empty one.
    std::size_t at(std::int64_t time) const;
    // The first change with the most bytes among those of [first, last]. O(log), whatever their number.
    std::size_t largest(std::size_t first, std::size_t last) const;
    // Of the whole step: live bytes there are MemoryPlan::live_peak + runtime.
    std::size_t peak() const { return largest(0, size() - 1); }

private:
    struct Change {
        std::int64_t time = 0;  // nanoseconds
        std::int32_t task = 0, instruction = 0;
    };
    void index_largest();

    LiveCategories live_;
    Bytes runtime_;
    std::vector<Change> changes_;
    // Indices of changes: level 0 has the largest of every 16, level l the largest of every 16 of the
    // level before.
    std::vector<std::vector<std::uint32_t>> largest_;
};

}  // namespace shardscope::gui
