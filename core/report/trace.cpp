#include "core/report/trace.h"

namespace shardscope {

StepTime cut(const std::vector<Span>& spans, Seconds wall) {
    StepTime time;
    time.wall = wall;
    for (const Span& span : spans) {
        if (span.stream != Stream::compute) continue;
        const Seconds length = span.end - span.start;
        // A collective on the compute stream keeps it from computing just as a wait does.
        if (span.kind != Span::Kind::compute)
            time.exposed_communication += length;
        else if (span.phase == Phase::optimizer)
            time.optimizer += length;
        else
            time.compute += length;
    }
    time.bubble = wall - time.compute - time.exposed_communication - time.optimizer;
    return time;
}

}  // namespace shardscope
