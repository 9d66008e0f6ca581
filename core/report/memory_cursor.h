// From a rank's spans to when its memory changed.
#pragma once

#include <span>
#include <vector>

#include "core/program/memory_plan.h"
#include "core/report/trace.h"

namespace shardscope {

// Walks the spans of the compute stream in order and finds the task of each, and with it the samples of
// memory_timeline or LiveCategories::timeline that have come by then.
class MemoryCursor {
public:
    // Keeps references to both.
    MemoryCursor(const RoleProgram& role, const std::vector<MemorySample>& samples)
        : role_(role), samples_(samples) {}

    // The samples between the span asked for before and this one, that one included: they hold from its
    // start on.
    std::span<const MemorySample> until(const Span& span);

private:
    bool is_after(const MemorySample& sample, const Span& span) const {
        const auto task = static_cast<std::int32_t>(task_);
        return sample.task != task ? sample.task > task : sample.instruction > span.instruction;
    }

    const RoleProgram& role_;
    const std::vector<MemorySample>& samples_;
    std::size_t task_ = 0, next_ = 0;
};

}  // namespace shardscope
