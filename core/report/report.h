// The answer: what every strategy costs, simulated and measured, in one type (report_io.h prints it).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/lowering/plan.h"
#include "core/report/basis.h"
#include "core/report/run_estimate.h"
#include "core/report/step_variation.h"
#include "core/report/trace.h"
#include "core/scenario.h"

namespace shardscope {

constexpr int kReportSchemaVersion = 1;

// One runner's answer for one strategy.
struct Result {
    Seconds step_time;        // median over the timed steps of the slowest rank
    double tokens_per_s = 0;  // samples/s for models without a sequence
    double tokens_per_s_per_gpu = 0;
    // Model FLOPs utilisation: Model::training_flops_per_sample (causal attention counted once, no
    // recomputation) over step time, ranks and the device's dense peak of the precision; 0: no peak known.
    double mfu = 0;
    std::vector<double> losses;
    Bytes capacity;  // of one device
    // Of the node whose ranks have most beside their devices, and what a node has; 0: nothing is offloaded.
    BesideDevice node_beside, node_capacity;
    Rank peak_rank;  // the rank whose peak is largest (lowest number among equals)
    std::vector<RankTrace>
        ranks;  // memory and times without spans, by rank (or one per role when simulated)
    StepTime
        time;  // parts of the slowest rank's median step; of several the one that computes most
    std::vector<std::string> notes;
    // Of simulated results, where they were asked for.
    std::optional<RunEstimate> run;
    std::optional<StepVariation> variation;
    std::optional<Basis> basis;

    const MemoryUse& peak_memory() const;
    int gpus() const;  // that its ranks have
};

enum class Status { fits, does_not_fit, invalid, failed };
std::string_view status_name(Status status);
struct StrategyReport;
// "does not fit", and which memory of a node is too small where it is not the device's: "does not fit: host".
std::string verdict_text(const StrategyReport& report);

struct StrategyReport {
    std::string name;
    Status status = Status::fits;
    std::vector<Tier> exceeded;  // does_not_fit: tiers beside the device that lack room too
    std::string layout;          // "dp4 zero3, 8 × 4 samples"
    std::optional<Result> simulated, measured;
    std::optional<Error> error;  // set for invalid and failed
};

struct Context {
    std::string host, date, version, compiler, backend;  // backend: "simulator", "cpu threads"
    std::string calibration;  // date of this machine's calibration, or empty
    std::vector<std::string> notes;
};

struct Report {
    Context context;
    Scenario scenario;
    std::vector<StrategyReport> strategies;
};

// The context's notes and those of the results, each once, in the order of the report.
std::vector<std::string> all_notes(const Report& report);

// Above this many ranks, simulated ranks of one role stay one entry of Result::ranks.
constexpr int kExpandedRanks = 64;

// Neighbouring entries of Result::ranks that hold the same, category by category.
struct RankGroup {
    int first = 0, last = 0;            // ranks, both included
    const MemoryUse* memory = nullptr;  // the result's
};
std::vector<RankGroup> rank_groups(const Result& result);

// Condenses a Trace of the plan on that device. `shared_cores` is the number of cores that all ranks
// share (Cluster::cores; 0: every rank has its own device): more ranks than cores have no more peak
// than the cores. Step times are NaN when the trace has no timed step.
Result summarise(const Trace& trace, const Plan& plan, const Device& device, int shared_cores = 0);

}  // namespace shardscope
