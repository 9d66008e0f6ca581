#include "backends/run_record.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "backends/rank_run.h"

namespace shardscope {
RunRecord::RunRecord(const Plan& plan, const RunOptions& options) : plan_(plan), options_(options) {
    const auto reserved = static_cast<std::size_t>(std::min(plan.training.steps, kReservedSteps));
    losses_.reserve(reserved);
    gradient_norms_.reserve(reserved);
}

void RunRecord::add_step(std::int64_t step, std::span<const StepScalars> scalars,
                         std::span<const Bytes> memory) {
    double loss = 0;  // the last stage has one; tensor-parallel ranks compute the same rows
    for (std::size_t r = 0; r < scalars.size(); ++r)
        if (plan_.tensor_index(Rank(static_cast<std::int32_t>(r))) == 0)
            loss += scalars[r].loss.value_or(0);
    losses_.push_back(loss);
    // The norm is already summed over ranks: whoever has it tells it.
    const auto has_norm = [](const StepScalars& s) { return s.gradient_norm_squared.has_value(); };
    if (const auto rank = std::ranges::find_if(scalars, has_norm); rank != scalars.end())
        gradient_norms_.push_back(std::sqrt(*rank->gradient_norm_squared));
    if (!options_.on_step) return;
    const Seconds elapsed(std::chrono::duration<double>(SpanLog::Clock::now() - start_).count());
    options_.on_step({step + 1, plan_.training.steps, loss, elapsed, memory});
}

void RunRecord::finish(Trace& trace, int ranks, int cores) {
    const auto bad = std::ranges::find_if(losses_, [](double x) { return !std::isfinite(x); });
    if (bad != losses_.end())
        trace.notes.push_back("the loss is not finite from step " +
                              std::to_string(bad - losses_.begin() + 1) + " on");
    const int threads = plan_.target.threads;
    if (cores > 0 && ranks * threads > cores)
        trace.notes.push_back(
            std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") +
            (threads > 1 ? " of " + std::to_string(threads) + " threads share " : " share ") +
            std::to_string(cores) + (cores == 1 ? " core" : " cores"));
    trace.losses = std::move(losses_);
    trace.gradient_norms = std::move(gradient_norms_);
}

}  // namespace shardscope
