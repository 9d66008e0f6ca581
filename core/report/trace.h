// What a runner observed: the same type whether the Program ran or was simulated.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.h"
#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

// One instruction (or the wait before one) on one stream, times from the step's start.
struct Span {
    enum class Kind : std::uint8_t {
        compute,        // a kernel
        communication,  // a collective or exchange, from its issue on the stream to its end
        wait,           // the compute stream stood still for an event of another stream
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
    Seconds wall;                   // from the step's start to the end of its last instruction
    Seconds compute;                // compute stream busy with forward and backward kernels
    Seconds exposed_communication;  // compute stream waiting for another stream
    Seconds bubble;                 // compute stream idle otherwise: host, pipeline, other ranks
    Seconds optimizer;              // compute stream busy with the optimizer phase
};

struct MemoryUse {
    std::array<Bytes, kCategories> categories{};  // at the peak
    Bytes peak;                                   // sum of the above
    Phase peak_phase = Phase::forward;
    Bytes outside_plan;  // measured runs: heap and mapped bytes taken during steps beside the arena
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

// Cuts one rank's spans of a step into parts; used by every runner so that the parts mean the same.
StepTime cut(const std::vector<Span>& spans, Seconds wall);

}  // namespace shardscope
