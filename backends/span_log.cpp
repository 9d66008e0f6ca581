#include "backends/span_log.h"

#include <algorithm>
#include <optional>

#include "core/program/event_origins.h"

namespace shardscope {
namespace {

std::optional<Span::Kind> kind_of(const Operation& operation,
                                  const std::vector<EventOrigin>& origins) {
    if (std::holds_alternative<Compute>(operation)) return Span::Kind::compute;
    if (const auto* wait = std::get_if<WaitEvent>(&operation))
        return wait_kind(origins[wait->event.index()].stream);
    if (std::holds_alternative<Collective>(operation) ||
        std::holds_alternative<Exchange>(operation))
        return Span::Kind::communication;
    return std::nullopt;
}

bool is_traced(Span::Kind kind, Stream stream) {
    return !is_wait(kind) || stream == Stream::compute;
}

}  // namespace

SpanLog::SpanLog(const RoleProgram& role) {
    const std::vector<EventOrigin> origins = event_origins(role);
    for (const Task& task : role.schedule) {
        const auto& instructions = role.bodies[task.body.index()].instructions;
        for (std::size_t i = 0; i < instructions.size(); ++i) {
            const Instruction& instruction = instructions[i];
            const auto kind = kind_of(instruction.operation, origins);
            if (!kind || !is_traced(*kind, instruction.stream)) continue;
            of_stream_[static_cast<std::size_t>(instruction.stream)].push_back(spans_.size());
            Span span;
            span.kind = *kind;
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

void SpanLog::add(Stream stream, Span::Kind kind, Clock::time_point start, Clock::time_point end) {
    if (!is_traced(kind, stream)) return;
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
