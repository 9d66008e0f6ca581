// What simulate, run and compare share: from a scenario file to the report of its strategies.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "cli/arguments.h"
#include "cli/gpus.h"
#include "cli/processes.h"
#include "cli/progress.h"
#include "cli/run_events.h"
#include "cli/runners.h"
#include "core/report/evaluate.h"

namespace shardscope {

// A candidate with its spans, for --trace; empty else.
struct EvaluatedCandidate : Candidate {
    std::optional<Trace> simulated, measured;
};

// Who measures, and who is told.
struct Measuring {
    const Backend& backend;
    const CudaOptions& cuda;
    Progress& progress;
    RunEvents* events = nullptr;
    std::stop_token stop{};  // the step that runs is the last, of all strategies
};

// The exit code of a run that was told to stop: a shell's for SIGTERM, as `launch` has it.
inline constexpr int kCancelled = 128 + 15;

class Evaluation {
public:
    // Checks the output file, then loads the scenario; throws Error for what concerns every strategy.
    // `processes`: that run the ranks, all with the same arguments; null: this one runs all.
    Evaluation(const ReportArguments& arguments, const Environment& environment,
               Processes* processes = nullptr);

    Scenario& scenario() { return report_.scenario; }
    const Model& model() const { return *model_; }
    // Applies --ranks, --threads and --steps and moves the scenario to this machine, or to the run's GPUs
    // where there are (null: none); checks its data. `command_line` is this command's.
    void prepare_run(const RunArguments& arguments, const GpuPlace* gpus,
                     const Words& command_line);
    void note(std::optional<std::string> text);

    const std::vector<Strategy>& strategies() const { return report_.scenario.strategies; }
    EvaluatedCandidate plan(const Strategy& strategy) const;
    // Each fills its part of the candidate's report; errors become its status. What does not fit is
    // simulated, but not run.
    void simulate(EvaluatedCandidate& candidate);
    // Fills the variation of a candidate that was simulated; a plan for which that cannot be is noted.
    void vary(EvaluatedCandidate& candidate, const Disturbance& disturbance,
              std::optional<int> steps, Progress& progress);
    void measure(EvaluatedCandidate& candidate, const Measuring& how);
    // What follows from its parts is added: costs of the run, what predictions rest on.
    void add(EvaluatedCandidate candidate);

    // Writes the report as asked: text by `to_text` unless --json or --csv; then the trace. Returns
    // the exit code; `ran`: a strategy that does not fit was not runnable.
    int finish(std::string backend, std::string (*to_text)(const Report&, bool colours), bool ran);
    // Whether a strategy was told to stop before it had run all its steps.
    bool cancelled() const { return cancelled_; }

private:
    bool all_ready(StrategyReport& report);
    bool told_to_stop(const Measuring& how);
    void run(EvaluatedCandidate& candidate, const Measuring& how);
    void note_cancelled(const StrategyReport& report);
    void select_strategies();
    void select_profiles();
    // Whether the file can be written without losing anything.
    void check_target(const char* option, const std::string& path) const;
    void check_trace() const;
    void write_trace() const;

    const ReportArguments& arguments_;
    const Environment& environment_;
    Processes* processes_;
    Report report_;
    std::shared_ptr<const Model> model_;
    std::vector<AccuracyRow> accuracy_ = shipped_accuracy();
    bool cudnn_attention_ = false;  // of bf16
    bool cancelled_ = false;
    std::string trace_;  // the text of --trace; empty: nothing to write yet
};

}  // namespace shardscope
