#include "cli/run_events.h"

#include "core/report/run_events_io.h"

namespace shardscope {

void RunEvents::started(const Candidate& candidate, std::string_view backend) {
    const Plan& plan = *candidate.plan;
    strategy_ = candidate.report.name;
    per_step_ =
        static_cast<double>(plan.training.global_batch) * static_cast<double>(plan.model->seq);
    last_ = {};
    tell(started_event(
        {candidate.report, backend, plan.layout.world, plan.training.steps, plan.model->tokens}));
}

void RunEvents::step(const StepProgress& progress) {
    const double rate = per_step_ / (progress.elapsed - last_).value;
    last_ = progress.elapsed;
    tell(step_event(strategy_, progress, rate));
}

void RunEvents::over(const StrategyReport& report, std::int64_t steps) {
    const auto done = report.measured ? std::ssize(report.measured->losses) : 0;
    if (report.error)
        tell(failed_event(report, *report.error));
    else if (done < steps)
        tell(cancelled_event(report, done, steps));
    else
        tell(finished_event(report));
}

void RunEvents::does_not_fit(const StrategyReport& report, const std::string& why) {
    tell(failed_event(report, Error("does-not-fit", why, "", ErrorKind::run_failed)));
}

void RunEvents::ended(int exit_code, bool cancelled, const std::optional<std::string>& report,
                      const std::optional<Error>& error) {
    tell(ended_event(exit_code, cancelled, report, error));
}

}  // namespace shardscope
