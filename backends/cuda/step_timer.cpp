#include "backends/cuda/step_timer.h"

#include <chrono>

#include "backends/cuda/device/check.h"

namespace shardscope::cuda {

void StepTimer::begin(cudaStream_t stream) {
    used_ = 0;
    timed_.clear();
    origin_ = SpanLog::Clock::now();
    record(stream);
}

std::size_t StepTimer::record(cudaStream_t queue) {
    if (used_ == events_.size()) events_.push_back(make_timing_event());
    check(cudaEventRecord(events_[used_].get(), queue), "cudaEventRecord");
    return used_++;
}

void StepTimer::start(Stream stream, Span::Kind kind, cudaStream_t queue) {
    timed_.push_back({stream, kind, record(queue), 0});
}

void StepTimer::stop(cudaStream_t queue) { timed_.back().stop = record(queue); }

SpanLog::Clock::time_point StepTimer::time_of(std::size_t event) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, events_.front().get(), events_[event].get()),
          "cudaEventElapsedTime");
    return origin_ + std::chrono::duration_cast<SpanLog::Clock::duration>(
                         std::chrono::duration<double, std::milli>(milliseconds));
}

void StepTimer::report(SpanLog& log) const {
    for (const Timed& t : timed_) log.add(t.stream, t.kind, time_of(t.start), time_of(t.stop));
}

}  // namespace shardscope::cuda
