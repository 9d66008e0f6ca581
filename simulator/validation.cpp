#include "simulator/validation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include <fmt/format.h>

#include "core/model/model.h"
#include "core/scenario_io.h"
#include "core/training_io.h"
#include "core/validation/run_scenario.h"
#include "simulator/event_runner.h"
#include "simulator/parallel.h"

namespace shardscope {
namespace {

using Clock = std::chrono::steady_clock;

Seconds since(Clock::time_point began) {
    return Seconds(std::chrono::duration<double>(Clock::now() - began).count());
}

// What one scenario costs; `skipped` where it cannot be said.
struct Answer {
    std::optional<Error> skipped;
    std::string layout;
    bool fits = false;
    std::size_t strategy = 0;  // the one of the scenario's that was chosen
    StepTime time;
    std::map<std::string, Bytes> peaks;  // by the memory_kind asked for
    std::map<std::string, Error> no_peaks;
    Seconds planned, simulated;  // how long it took
};

// Rows with equal scenarios.
struct Job {
    Scenario scenario;
    std::vector<std::size_t> rows;
    std::vector<std::string> memory_kinds;  // of those rows
    Answer answer;
};

// Messages without the strategy they are about, so that rows can be grouped by them.
Error without_place(const Error& error, const Strategy& strategy) {
    const std::string place = place_of(strategy) + ": ";
    if (!error.message.starts_with(place)) return error;
    return Error(error.rule, error.message.substr(place.size()), error.fix, error.kind);
}

// What is wrong with a row's scenario. The remedies of scenarios speak of their keys, which are no columns.
Error of_row(const Error& error) {
    return Error(error.rule, error.message, "correct the row's columns, or leave the row out",
                 error.kind);
}

// What the strategies of an attempt have in common, and those in it that save the same memory.
auto degrees_of(const Strategy& s) { return std::tie(s.tp, s.pp, s.zero); }
auto savings_of(const Strategy& s) { return std::tie(s.recompute, s.sequence_parallel); }

// What a user would have chosen of the scenario's strategies (MappedRun). Times fall and then rise with the micro-batch,
// by the pipeline's bubble and by small kernels: sizes are tried from the largest down until two in a row have been
// slower. Memory is saved for sizes that do not fit without, since it costs time.
class Choice {
public:
    Choice(const Scenario& scenario, Answer& answer) : scenario_(scenario), answer_(answer) {
        const auto began = Clock::now();
        model_ = std::make_shared<const Model>(build_model(scenario.model));
        answer_.planned += since(began);
    }

    Candidate make() {
        const std::size_t all = scenario_.strategies.size();
        for (std::size_t begin = 0, end = 0; begin < all && !best_; begin = end) {
            end = behind(begin, all, degrees_of);
            largest_ = std::numeric_limits<std::int64_t>::max();
            if (end - begin <= kFew || may_fit(begin, end)) choose(begin, end);
        }
        if (best_) return std::move(*best_);
        answer_.strategy = refused_strategy_;
        simulate(*refused_);
        return std::move(*refused_);
    }

private:
    static constexpr int kEnough = 2;
    static constexpr std::size_t kFew = 2;  // strategies, of which each is as soon planned

    Candidate plan(const Strategy& strategy) {
        const auto began = Clock::now();
        Candidate candidate = plan_strategy(scenario_, model_, strategy);
        answer_.planned += since(began);
        return candidate;
    }
    void simulate(Candidate& candidate) {
        const auto began = Clock::now();
        EventRunner simulator;
        simulate_candidate(scenario_, candidate, simulator);
        answer_.simulated += since(began);
    }
    // A plan that does not fit rather than none.
    void keep_refused(std::size_t strategy, Candidate candidate) {
        if (refused_ && candidate.report.error && !refused_->report.error) return;
        refused_ = std::move(candidate);
        refused_strategy_ = strategy;
    }

    const Strategy& strategy(std::size_t i) const { return scenario_.strategies[i]; }
    // The end of those that have what the strategy at `begin` has.
    std::size_t behind(std::size_t begin, std::size_t end, auto having) const {
        std::size_t i = begin;
        while (i < end && having(strategy(i)) == having(strategy(begin))) ++i;
        return i;
    }

    // Whether any of an attempt may: its last needs least. Micro-batches that do not fit with what saves most are none to
    // try with less.
    bool may_fit(std::size_t begin, std::size_t end) {
        Candidate least = plan(strategy(end - 1));
        if (least.report.status != Status::fits && !least.report.error) {
            keep_refused(end - 1, std::move(least));
            return false;
        }
        std::size_t i = begin;
        for (std::size_t next = begin; next < end; next = behind(next, end, savings_of)) i = next;
        for (; i > begin && i + 1 < end; ++i) {
            const Candidate candidate = plan(strategy(i));
            if (candidate.report.status == Status::fits || candidate.report.error) break;
        }
        if (i > begin) largest_ = strategy(i).micro_batch.value_or(largest_);
        return true;
    }

    void choose(std::size_t begin, std::size_t end) {
        std::optional<std::int64_t> fitted, fitted_before;  // the largest: ever, with less saved
        int slower = 0;                                     // micro-batches in a row
        for (std::size_t i = begin; i < end; ++i) {
            if (i > begin && savings_of(strategy(i)) != savings_of(strategy(i - 1))) {
                slower = 0;
                fitted_before = fitted;
            }
            const auto& micro_batch = strategy(i).micro_batch;
            if (slower == kEnough || micro_batch <= fitted_before || micro_batch > largest_)
                continue;
            Candidate candidate = plan(strategy(i));
            if (candidate.report.status != Status::fits) {
                if (!best_) keep_refused(i, std::move(candidate));
                continue;
            }
            fitted = std::max(fitted, micro_batch);
            simulate(candidate);
            if (best_ && !is_faster(candidate)) {
                ++slower;
                continue;
            }
            slower = 0;
            answer_.strategy = i;
            best_ = std::move(candidate);
        }
    }

    bool is_faster(const Candidate& candidate) const {
        if (!candidate.report.simulated) return false;
        return !best_->report.simulated ||
               candidate.report.simulated->step_time < best_->report.simulated->step_time;
    }

    const Scenario& scenario_;
    Answer& answer_;
    std::shared_ptr<const Model> model_;
    std::optional<Candidate> best_, refused_;
    std::size_t refused_strategy_ = 0;
    std::int64_t largest_ = 0;  // micro-batch to try in an attempt
};

void read_memory(const Plan& plan, const std::vector<std::string>& kinds, Answer& answer) {
    for (const std::string& kind : kinds) {
        try {
            answer.peaks.emplace(kind, predicted_peak(kind, plan));
        } catch (const Error& error) {
            answer.no_peaks.emplace(kind, error);
        }
    }
}

void solve(Job& job) {
    Answer& answer = job.answer;
    const Scenario& scenario = job.scenario;
    try {
        const Candidate candidate = Choice(scenario, answer).make();
        if (const auto& error = candidate.report.error)
            throw without_place(*error, scenario.strategies[answer.strategy]);
        answer.fits = candidate.report.status == Status::fits;
        answer.layout = candidate.report.layout;
        answer.time = candidate.report.simulated->time;
        read_memory(*candidate.plan, job.memory_kinds, answer);
    } catch (const Error& error) {
        answer.skipped = of_row(error);
    }
}

void check_measured(const MeasuredRun& run) {
    if (run.unreadable) return;  // which may be the measurement
    if (run.measured_step_time() || run.peak_memory_gib || run.out_of_memory) return;
    throw Error("not-measured", "neither time nor memory was measured",
                "fill in \"step_time_s\", \"tokens_per_s_per_gpu\" or \"peak_memory_gib\"");
}

// A row's two statements of its speed; empty where they are about the same. The one of step_time_s counts.
std::optional<Assumption> contradiction_of(const MeasuredRun& run) {
    constexpr double kAboutTheSame = 0.1;  // rounding, and means over different steps
    const double deviation = run.throughput_deviation().value_or(0);
    if (std::abs(deviation) <= kAboutTheSame) return std::nullopt;
    return Assumption{"tokens_per_s_per_gpu",
                      fmt::format("{:.0f} % {} what step_time_s says", 100 * std::abs(deviation),
                                  deviation > 0 ? "above" : "below")};
}

class Predictions {
public:
    Predictions(std::span<const MeasuredRun> runs, const ValidationOptions& options)
        : runs_(runs), options_(options), predictions_(runs.size()), assumed_(runs.size()) {}

    std::vector<Prediction> run(ValidationTimes& times) {
        auto began = Clock::now();
        for (std::size_t row = 0; row < runs_.size(); ++row) map(row);
        times.map = since(began);
        for_each_index(jobs_.size(), options_.threads, [&](std::size_t i) {
            solve(jobs_[i]);
            tell(jobs_[i].rows.size());
        });
        for (Job& job : jobs_) {
            times.plan += job.answer.planned;
            times.simulate += job.answer.simulated;
            for (const std::size_t row : job.rows) fill(row, job);
        }
        times.simulated = jobs_.size();
        return std::move(predictions_);
    }

private:
    void map(std::size_t row) {
        try {
            check_measured(runs_[row]);
            MappedRun mapped = map_run(runs_[row], options_.constants);
            check_measured_memory(runs_[row], mapped.scenario.cluster);
            add(row, std::move(mapped));
        } catch (const Error& error) {
            predictions_[row].skipped = error;
            ++done_;
        }
    }

    void add(std::size_t row, MappedRun mapped) {
        assumed_[row] = std::move(mapped.assumed);
        const auto [known, fresh] =
            numbers_.emplace(scenario_to_json(mapped.scenario), jobs_.size());
        if (fresh) jobs_.push_back({std::move(mapped.scenario), {}, {}, {}});
        Job& job = jobs_[known->second];
        job.rows.push_back(row);
        const std::string& kind = runs_[row].memory_kind;
        if (std::find(job.memory_kinds.begin(), job.memory_kinds.end(), kind) ==
            job.memory_kinds.end())
            job.memory_kinds.push_back(kind);
    }

    void tell(std::size_t rows) {
        const std::lock_guard lock(mutex_);
        done_ += rows;
        if (options_.on_progress) options_.on_progress(done_, runs_.size());
    }

    void fill(std::size_t row, const Job& job) {
        Prediction& prediction = predictions_[row];
        const MeasuredRun& run = runs_[row];
        const Answer& answer = job.answer;
        prediction.assumed = assumed_[row].with(answer.strategy);
        prediction.skipped = answer.skipped;
        prediction.cluster = job.scenario.cluster.name;
        prediction.precision = name_of(job.scenario.training.arithmetic());
        if (answer.skipped) return;
        if (run.peak_memory_gib && run.memory_kind.empty())
            prediction.assumed.push_back({"memory_kind", "allocated"});
        if (auto contradiction = contradiction_of(run))
            prediction.assumed.push_back(std::move(*contradiction));
        prediction.fits = answer.fits;
        prediction.layout = answer.layout;
        prediction.time = answer.time;
        if (const auto peak = answer.peaks.find(run.memory_kind); peak != answer.peaks.end())
            prediction.peak = peak->second;
        else if (run.peak_memory_gib)
            prediction.no_peak = answer.no_peaks.at(run.memory_kind);
    }

    std::span<const MeasuredRun> runs_;
    const ValidationOptions& options_;
    std::vector<Prediction> predictions_;
    std::vector<RunAssumptions> assumed_;  // by row
    std::vector<Job> jobs_;
    std::map<std::string, std::size_t> numbers_;  // of jobs, by their scenario's text
    std::mutex mutex_;                            // of `done_` and on_progress
    std::size_t done_ = 0;
};

}  // namespace

std::vector<Prediction> predict_runs(std::span<const MeasuredRun> runs,
                                     const ValidationOptions& options, ValidationTimes* times) {
    const auto began = Clock::now();
    ValidationTimes measured;
    auto predictions = Predictions(runs, options).run(measured);
    measured.wall = since(began);
    if (times != nullptr) *times = measured;
    return predictions;
}

}  // namespace shardscope
