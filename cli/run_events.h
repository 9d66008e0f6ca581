// `run --events`: what a run tells on standard output while it goes on, a JSON object per line.
#pragma once

#include <optional>
#include <ostream>
#include <string>

#include "core/report/evaluate.h"
#include "core/runner.h"

namespace shardscope {

// Every line is flushed. Strategies come one after the other: started(), a step() each, then one of the
// others; those that are not run have only the latter. ended() is the last line.
class RunEvents {
public:
    explicit RunEvents(std::ostream& out) : out_(out) {}

    void started(const Candidate& candidate, std::string_view backend);
    void step(const StepProgress& progress);
    // Finished, failed, or cancelled after fewer steps than it has.
    void over(const StrategyReport& report, std::int64_t steps);
    void does_not_fit(const StrategyReport& report, const std::string& why);
    void ended(int exit_code, bool cancelled, const std::optional<std::string>& report,
               const std::optional<Error>& error);

private:
    void tell(const std::string& line) { out_ << line << std::flush; }

    std::ostream& out_;
    std::string strategy_;  // that runs
    double per_step_ = 0;   // tokens, or samples
    Seconds last_;          // when its last step ended, from its start
};

}  // namespace shardscope
