#include "gui/models/step_detail.h"

#include <malloc.h>

namespace shardscope::gui {
namespace {

constexpr std::int64_t kMany = 100'000;  // events: tens of megabytes

// Simulating and indexing a large step leaves as much freed memory behind as the result takes, in pieces
// that the C library would keep.
void return_freed_memory() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace

std::int64_t step_events(const Plan& plan) {
    std::int64_t events = 0;
    for (const RoleProgram& role : plan.program.roles) events += unrolled_size(role);
    return events;
}

std::shared_ptr<const StepDetail> make_step_detail(std::uint64_t revision, std::size_t strategy,
                                                   std::shared_ptr<const Plan> plan,
                                                   std::shared_ptr<const Trace> trace,
                                                   const Result& result) {
    auto detail = std::make_shared<StepDetail>();
    detail->revision = revision;
    detail->strategy = strategy;
    detail->step_time = result.step_time;
    detail->capacity = result.capacity;
    detail->events = step_events(*plan);
    bool spans = !trace->ranks.empty();
    for (const RankTrace& rank : trace->ranks) spans = spans && !rank.spans.empty();
    if (spans) {
        detail->timeline = std::make_shared<const Timeline>(*plan, *trace);
        for (const RankTrace& rank : trace->ranks) {
            const std::size_t role = plan->program.role_of(rank.rank);
            detail->memory.emplace_back(plan->program.roles[role], rank.spans,
                                        plan->memory[role].runtime);
        }
    }
    if (detail->timeline && detail->events > kMany) return_freed_memory();
    detail->plan = std::move(plan);
    detail->trace = std::move(trace);
    return detail;
}

}  // namespace shardscope::gui
