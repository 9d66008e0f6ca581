// What a runner observed: the same type whether the Program ran or was simulated.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.h"
#include "core/program/memory_plan.h"
#include "core/program/program.h"
#include "core/program/runtime_memory.h"
#include "core/units.h"

namespace shardscope {

// One instruction (or the wait before one) on one stream, times from the step's start.
struct Span {
    enum class Kind : std::uint8_t {
        compute,        // a kernel
        communication,  // a collective or exchange, from its issue on the stream to its end
        wait,           // the compute stream stood still for an event of another stream
        pipeline_wait,  // the same, and the event is one of a transfer between pipeline stages
        host_wait,      // the same, and the event is one of kernels that the host computes
    };
    Seconds start, end;
    Kind kind = Kind::compute;
    Stream stream = Stream::compute;
    Phase phase = Phase::forward;
    std::int32_t layer = -1;
    std::int32_t micro_batch = 0;
    std::int32_t instruction = 0;  // index in `body`
    BodyId body;
};

// One step of one rank, cut into four parts that sum to `wall`.
struct StepTime {
    Seconds wall;     // from the step's start to the end of its last instruction
    Seconds compute;  // compute stream busy with forward, backward, recomputed kernels
    Seconds
        exposed_communication;  // collectives and transfers on the compute stream itself (tensor
                                // parallelism), and waits of the compute stream for another one
    // Compute stream idle otherwise: for the host, and for other pipeline stages (pipeline_wait). What
    // a transfer between stages takes by itself is not told apart from the time until its peer comes:
    // a measured wait does not show it, and next to the peer's computing it is small.
    Seconds bubble;
    Seconds
        optimizer;  // compute stream busy with the optimizer phase, or waiting for the host's part
    // Of `compute` and `optimizer`: waiting for what the host computes.
    Seconds host_wait{};

    // Kernels on the compute stream.
    Seconds busy() const { return compute + optimizer - host_wait; }
};

struct MemoryUse {
    std::array<Bytes, kCategories> categories{};  // at the peak
    Bytes peak;                                   // sum of the above
    Phase peak_phase = Phase::forward;
    // Measured runs: memory taken during steps beside the arena and `runtime`. On CPUs heap and mapped bytes.
    Bytes outside_plan;
    RuntimeMemory runtime;  // the parts of the category; CPUs: none
    BesideDevice beside;    // the host's memory and NVMe that the rank has; runs: none
    Bytes process;  // GPUs, measured: what the driver says that the process has; 0: it does not say
};

struct RankTrace {
    Rank rank;
    int multiplicity = 1;         // simulated: how many ranks of this role it stands for
    std::vector<StepTime> steps;  // timed steps only (warm-up excluded)
    std::vector<Span> spans;      // of the last timed step, in order of start; empty unless asked
    MemoryUse memory;
};

struct Trace {
    std::vector<RankTrace> ranks;
    std::vector<double> losses;  // per step, mean over the global batch; empty when simulated
    std::vector<double> gradient_norms;  // per step, before clipping; empty when clipping is off
    std::vector<std::string> notes;      // what a reader must know (cores shared, …)
};

// A wait of the compute stream for an event that the stream records.
Span::Kind wait_kind(Stream recorded_on);
constexpr bool is_wait(Span::Kind kind) {
    return kind == Span::Kind::wait || kind == Span::Kind::pipeline_wait ||
           kind == Span::Kind::host_wait;
}

// The part of `time` that the compute stream's time in such a span belongs to; null: the bubble, which
// is what the others leave of `wall`.
inline Seconds* part_of(StepTime& time, Span::Kind kind, Phase phase) {
    if (kind == Span::Kind::pipeline_wait) return nullptr;
    // A collective on the compute stream keeps it from computing just as a wait does.
    if (kind != Span::Kind::compute && kind != Span::Kind::host_wait)
        return &time.exposed_communication;
    return phase == Phase::optimizer ? &time.optimizer : &time.compute;
}

inline void add_part(StepTime& time, Span::Kind kind, Phase phase, Seconds duration) {
    if (Seconds* part = part_of(time, kind, phase)) *part += duration;
    if (kind == Span::Kind::host_wait) time.host_wait += duration;
}

// Cuts one rank's spans of a step into parts; used by every runner so that the parts mean the same.
StepTime cut(const std::vector<Span>& spans, Seconds wall);

}  // namespace shardscope
