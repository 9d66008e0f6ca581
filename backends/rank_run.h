// One rank of a run, on any device: what the loop over steps asks of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/interpreter.h"
#include "backends/rank_state.h"
#include "core/report/trace.h"

namespace shardscope {

// Steps that records have room for before the run, so that they are not counted as memory that steps
// take.
inline constexpr std::int64_t kReservedSteps = 1 << 16;

// Driven by the rank's thread.
class RankRun {
public:
    virtual ~RankRun() = default;

    // Runs step number `step` (0, 1, …) to its end.
    virtual void run_step(std::int64_t step) = 0;

    // Evaluates the times of the step that ran last; apart from run_step so that ranks that finish
    // early do not compute while others are still being timed.
    virtual void finish_step() = 0;

    virtual const StepScalars& scalars() const = 0;  // of the last step

    // The peak of its memory as the trace will give it, and what it takes of its device beside that;
    // from the first finish_step() on.
    virtual Bytes memory() const = 0;

    // To look at or change between steps.
    virtual RankState state() = 0;

    // Where the rank's work has come to, to be told when it ends too early: "compute in backward, linear
    // of layer 3"; may be empty.
    virtual std::string place() const { return ""; }

    // What a reader of the report must know of how it ran; told of rank 0.
    virtual std::vector<std::string> notes() const { return {}; }

    // What was observed; the first step, a warm-up, is left out where there are more. Call once.
    virtual RankTrace take_trace(bool with_spans) = 0;
};

}  // namespace shardscope
