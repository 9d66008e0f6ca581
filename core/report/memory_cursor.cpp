#include "core/report/memory_cursor.h"

namespace shardscope {

std::span<const MemorySample> MemoryCursor::until(const Span& span) {
    std::size_t task = task_;
    while (task < role_.schedule.size() && (role_.schedule[task].body != span.body ||
                                            role_.schedule[task].micro_batch != span.micro_batch))
        ++task;
    if (task < role_.schedule.size()) task_ = task;
    const std::size_t first = next_;
    while (next_ < samples_.size() && !is_after(samples_[next_], span)) ++next_;
    return std::span(samples_).subspan(first, next_ - first);
}

}  // namespace shardscope
