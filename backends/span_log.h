// Start and end of every instruction of one step, for any executor.
//
// Which spans a step has is known before it runs; executors only fill in times, in the order of each
// stream, so that nothing is allocated and no lock is taken while a step is timed.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

#include "core/report/trace.h"

namespace shardscope {

class SpanLog {
public:
    using Clock = std::chrono::steady_clock;

    explicit SpanLog(const RoleProgram& role);

    // Times are counted from `start`. Call while no stream runs.
    void begin_step(Clock::time_point start);

    // Times of the next kernel, collective, exchange or wait of `stream`, in program order; each
    // stream has one writer at a time. Waits of other streams than compute appear in no trace; which
    // kind of wait it is (wait_kind) the log knows by itself.
    void add(Stream stream, Span::Kind kind, Clock::time_point start, Clock::time_point end);

    // All spans of the step in the order of their start. Call while no stream runs.
    const std::vector<Span>& finish_step();

private:
    std::vector<Span> spans_;  // in program order
    std::vector<Span> sorted_;
    std::array<std::vector<std::size_t>, kStreams> of_stream_;  // indices into spans_
    std::array<std::size_t, kStreams> next_{};
    Clock::time_point start_;
};

}  // namespace shardscope
