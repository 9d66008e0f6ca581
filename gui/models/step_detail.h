// From a simulated step to what the timeline shows of it. Thread-safe: the evaluator's worker calls it.
#pragma once

#include <cstdint>
#include <memory>

#include "gui/models/evaluation.h"

namespace shardscope::gui {

// Above this many instructions in a step (of all roles) no spans are asked for: they would take
// gigabytes. The timeline then says so.
constexpr std::int64_t kMostEvents = 4'000'000;

// Instructions of one step, one rank per role: at least as many as there are spans.
std::int64_t step_events(const Plan& plan);

// `trace`: the simulator's for `plan`, with spans (RunOptions::record_spans) where step_events(*plan) ≤
// kMostEvents; `result`: what summarise() said of it. Without spans there is no timeline and no memory
// over time.
std::shared_ptr<const StepDetail> make_step_detail(std::uint64_t revision, std::size_t strategy,
                                                   std::shared_ptr<const Plan> plan,
                                                   std::shared_ptr<const Trace> trace,
                                                   const Result& result);

}  // namespace shardscope::gui
