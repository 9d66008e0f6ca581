// When each instruction of a traced step ran on the GPU, by events around it.
#pragma once

#include <vector>

#include "backends/cuda/device/handles.h"
#include "backends/span_log.h"

namespace shardscope::cuda {

// One step at a time. Events are kept for the next one.
class StepTimer {
public:
    // Times count from now, on `stream`; nothing may be queued anywhere.
    void begin(cudaStream_t stream);

    // Around what is queued for one instruction. Calls come in pairs.
    void start(Stream stream, Span::Kind kind, cudaStream_t queue);
    void stop(cudaStream_t queue);

    // Once all streams are idle: tells the log, in the order of every stream.
    void report(SpanLog& log) const;

private:
    struct Timed {
        Stream stream;
        Span::Kind kind;
        std::size_t start, stop;  // indices into events_
    };
    std::size_t record(cudaStream_t queue);
    SpanLog::Clock::time_point time_of(std::size_t event) const;

    std::vector<EventHandle> events_;  // the first: where times count from
    std::size_t used_ = 0;
    std::vector<Timed> timed_;
    SpanLog::Clock::time_point origin_;
};

}  // namespace shardscope::cuda
