#include "core/report/trace.h"

namespace shardscope {

Span::Kind wait_kind(Stream recorded_on) {
    if (recorded_on == Stream::host) return Span::Kind::host_wait;
    return transfer_lane(recorded_on) == TransferLane::other ? Span::Kind::wait
                                                             : Span::Kind::pipeline_wait;
}

StepTime cut(const std::vector<Span>& spans, Seconds wall) {
    StepTime time;
    time.wall = wall;
    for (const Span& span : spans) {
        if (span.stream != Stream::compute) continue;
        add_part(time, span.kind, span.phase, span.end - span.start);
    }
    time.bubble = wall - time.compute - time.exposed_communication - time.optimizer;
    return time;
}

}  // namespace shardscope
