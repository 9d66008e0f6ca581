#include "backends/span_log.h"

#include <algorithm>

namespace shardscope {
namespace {

Span::Kind kind_of(const Instruction& instruction) {
    if (std::holds_alternative<Compute>(instruction.operation)) return Span::Kind::compute;
    if (std::holds_alternative<WaitEvent>(instruction.operation)) return Span::Kind::wait;
    return Span::Kind::communication;
}

}  // namespace

bool has_span(const Instruction& instruction) {
    const Operation& o = instruction.operation;
    return std::holds_alternative<Compute>(o) || std::holds_alternative<Collective>(o) ||
           std::holds_alternative<Exchange>(o) ||
           (std::holds_alternative<WaitEvent>(o) && instruction.stream == Stream::compute);
}

SpanLog::SpanLog(const RoleProgram& role) {
    for (const Task& task : role.schedule) {
        const auto& instructions = role.bodies[task.body.index()].instructions;
        for (std::size_t i = 0; i < instructions.size(); ++i) {
            const Instruction& instruction = instructions[i];
            if (!has_span(instruction)) continue;
            of_stream_[static_cast<std::size_t>(instruction.stream)].push_back(spans_.size());
            Span span;
            span.kind = kind_of(instruction);
            span.stream = instruction.stream;
            span.phase = instruction.phase;
            span.layer = instruction.layer;
            span.micro_batch = task.micro_batch;
            span.instruction = static_cast<std::int32_t>(i);
            span.body = task.body;
            spans_.push_back(span);
        }
    }
    sorted_ = spans_;
}

void SpanLog::begin_step(Clock::time_point start) {
    start_ = start;
    next_.fill(0);
}

void SpanLog::add(Stream stream, Clock::time_point start, Clock::time_point end) {
    const auto s = static_cast<std::size_t>(stream);
    if (next_[s] == of_stream_[s].size()) return;
    Span& span = spans_[of_stream_[s][next_[s]++]];
    span.start = Seconds(std::chrono::duration<double>(start - start_).count());
    span.end = Seconds(std::chrono::duration<double>(end - start_).count());
}

const std::vector<Span>& SpanLog::finish_step() {
    sorted_ = spans_;
    // By the end where two start in one clock tick; std::stable_sort would allocate.
    std::sort(sorted_.begin(), sorted_.end(), [](const Span& a, const Span& b) {
        return a.start != b.start ? a.start < b.start : a.end < b.end;
    });
    return sorted_;
}

}  // namespace shardscope
