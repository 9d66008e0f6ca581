#include "gui/session/evaluator.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "core/cluster/cluster_source.h"
#include "core/report/evaluate.h"
#include "gui/models/step_detail.h"
#include "gui/session/strategy_cache.h"
#include "simulator/event_runner.h"

namespace shardscope::gui {
namespace {

using Clock = std::chrono::steady_clock;

// As long as this a request is finished although there is a newer one.
constexpr std::chrono::milliseconds kPatience{100};
// While requests keep coming a step is simulated in detail no more often: the next one's figures come first.
constexpr std::chrono::milliseconds kDetailPause{100};

Error unexpected(const std::exception& problem) {
    return Error("internal", std::string("the simulation failed: ") + problem.what(),
                 "report this with the scenario", ErrorKind::run_failed);
}

// Plans and simulates as `shardscope simulate` does. Without spans: with them the same times are summed
// in another order, and differ in their last digits.
Candidate simulate(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                   const Strategy& strategy, const std::vector<AccuracyRow>& accuracy) {
    Candidate candidate;
    try {
        candidate = plan_strategy(scenario, model, strategy);
        EventRunner simulator;
        simulate_candidate(scenario, candidate, simulator);
        add_estimates(scenario, candidate, accuracy);
    } catch (const std::exception& problem) {
        candidate = {};
        candidate.report.name = strategy.name;
        set_error(candidate.report, unexpected(problem));
    }
    return candidate;
}

}  // namespace

class Evaluator::Worker {
public:
    Worker(Evaluator& owner, std::string calibration_file, Machine machine)
        : owner_(owner),
          calibration_file_(std::move(calibration_file)),
          machine_(std::move(machine)),
          thread_([this](std::stop_token stop) { loop(stop); }) {}

    ~Worker() {
        stopping_ = true;
        thread_.request_stop();
        thread_.join();
    }

    void request(Request request) {
        const std::lock_guard lock(mutex_);
        next_ = std::move(request);
        newer_ = true;
        wake_.notify_all();
    }

    Results results() const {
        const std::lock_guard lock(mutex_);
        return results_;
    }

    void wait() {
        std::unique_lock lock(mutex_);
        idle_.wait(lock, [this] { return !next_ && !busy_; });
    }

    std::int64_t simulated() const { return simulated_; }

private:
    void loop(const std::stop_token& stop);
    void work();
    void prepare(Evaluation& evaluation);
    bool simulate_missing(Evaluation& evaluation);
    void show_detail(const Evaluation& evaluation);
    std::shared_ptr<const StepDetail> make_detail(const Evaluation& evaluation,
                                                  const Strategy& strategy);
    void publish(const std::function<void(Results&)>& change);
    bool dropped() const { return stopping_ || (newer_ && Clock::now() - began_ > kPatience); }
    bool detail_can_wait() const { return newer_ && Clock::now() - detailed_ < kDetailPause; }
    bool is_selected(std::size_t row) const { return static_cast<int>(row) == request_.selected; }

    Evaluator& owner_;
    const std::string calibration_file_;
    const Machine machine_;

    mutable std::mutex mutex_;
    std::condition_variable_any wake_, idle_;
    std::optional<Request> next_;
    bool busy_ = false;
    Results results_;
    std::atomic<bool> newer_ = false, stopping_ = false;
    std::atomic<std::int64_t> simulated_ = 0;

    // The worker's own.
    Request request_;
    Clock::time_point began_;
    Clock::time_point detailed_;  // when the last StepDetail was published
    StrategyCache cache_;
    const std::vector<AccuracyRow> accuracy_ = shipped_accuracy();
    std::optional<Plan> plan_;  // of the selected strategy, if the request made it

    std::jthread thread_;  // the last, so that it ends first
};

void Evaluator::Worker::loop(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [this] { return next_.has_value(); })) {
        request_ = std::move(*next_);
        next_.reset();
        newer_ = false;
        busy_ = true;
        lock.unlock();
        began_ = Clock::now();
        work();
        lock.lock();
        busy_ = false;
        idle_.notify_all();
        if (stopping_) return;
    }
}

void Evaluator::Worker::work() {
    plan_.reset();
    const auto known = results().evaluation;
    if (known && known->revision == request_.revision) {
        show_detail(*known);  // another row was selected
        return;
    }
    const std::int64_t simulated_before = simulated_;
    auto evaluation = std::make_shared<Evaluation>();
    evaluation->revision = request_.revision;
    try {
        prepare(*evaluation);
        if (!simulate_missing(*evaluation)) return;
    } catch (const Error& error) {
        evaluation->error = error;
    } catch (const std::exception& problem) {
        evaluation->error = unexpected(problem);
    }
    if (evaluation->error) evaluation->report.strategies.clear();
    // Where nothing had to be simulated anew, what it took before.
    const bool anew = simulated_ != simulated_before || !known;
    evaluation->took =
        anew ? Seconds(std::chrono::duration<double>(Clock::now() - began_).count()) : known->took;
    publish([&](Results& results) { results.evaluation = evaluation; });
    show_detail(*evaluation);
}

// What concerns every strategy.
void Evaluator::Worker::prepare(Evaluation& evaluation) {
    Report& report = evaluation.report;
    report.scenario = request_.scenario;
    report.context = describe_context(report.scenario, machine_, "simulator");
    cache_.begin(report.scenario);
    const Cluster& cluster = report.scenario.cluster;
    require_calibration(cluster, calibration_file_);
    if (auto note = cluster.this_machine ? calibration_note(cluster, machine_) : std::nullopt)
        report.context.notes.push_back(std::move(*note));
    evaluation.model = cache_.model();
}

// Fills the strategies' reports; false: a newer request is waiting. What was done is kept then too.
bool Evaluator::Worker::simulate_missing(Evaluation& evaluation) {
    const auto& strategies = request_.scenario.strategies;
    std::vector<StrategyReport> reports(strategies.size());
    std::vector<std::size_t> missing;
    for (std::size_t row = 0; row < strategies.size(); ++row) {
        const StrategyReport* const known = cache_.report(strategies[row]);
        if (known != nullptr) {
            reports[row] = *known;
            reports[row].name = strategies[row].name;
        } else {
            missing.push_back(row);
        }
    }
    // The selected one first: its timeline follows.
    std::stable_partition(missing.begin(), missing.end(), [this](std::size_t row) {
        return static_cast<int>(row) == request_.selected;
    });
    std::vector<char> done(missing.size(), 0);
    std::atomic<std::size_t> taken = 0;
    const auto take = [&] {
        for (std::size_t i = taken++; i < missing.size() && !dropped(); i = taken++) {
            const std::size_t row = missing[i];
            Candidate candidate =
                simulate(request_.scenario, evaluation.model, strategies[row], accuracy_);
            reports[row] = std::move(candidate.report);
            if (is_selected(row)) plan_ = std::move(candidate.plan);
            done[i] = 1;
            ++simulated_;
        }
    };
    {
        const auto threads = std::min<std::size_t>(
            missing.size(), static_cast<std::size_t>(std::max(1, machine_.cores)));
        std::vector<std::jthread> others;
        for (std::size_t i = 1; i < threads; ++i) others.emplace_back(take);
        take();
    }
    for (std::size_t i = 0; i < missing.size(); ++i)
        if (done[i] != 0) cache_.add(strategies[missing[i]], reports[missing[i]]);
    if (std::count(done.begin(), done.end(), 0) > 0) return false;
    evaluation.report.strategies = std::move(reports);
    return true;
}

void Evaluator::Worker::show_detail(const Evaluation& evaluation) {
    const auto row = static_cast<std::size_t>(request_.selected);
    std::shared_ptr<const StepDetail> detail;
    std::optional<Error> problem;
    const bool wanted = request_.selected >= 0 && row < evaluation.report.strategies.size() &&
                        evaluation.report.strategies[row].simulated;
    if (wanted) {
        if (dropped() || detail_can_wait()) return;
        try {
            detail = make_detail(evaluation, request_.scenario.strategies[row]);
        } catch (const Error& error) {
            problem = error;
        } catch (const std::exception& unknown) {
            problem = unexpected(unknown);
        }
    }
    publish([&](Results& results) {
        results.detail = detail;
        results.detail_error = problem;
    });
    if (detail) detailed_ = Clock::now();
}

std::shared_ptr<const StepDetail> Evaluator::Worker::make_detail(const Evaluation& evaluation,
                                                                 const Strategy& strategy) {
    const auto row = static_cast<std::size_t>(request_.selected);
    std::shared_ptr<const StepDetail> detail;
    if (const auto known = cache_.detail(strategy)) {
        auto renamed = std::make_shared<StepDetail>(*known);
        renamed->revision = request_.revision;
        renamed->strategy = row;
        detail = std::move(renamed);
    } else {
        if (!plan_) {
            Candidate candidate = plan_strategy(request_.scenario, evaluation.model, strategy);
            if (!candidate.plan) throw Error(*candidate.report.error);
            plan_ = std::move(candidate.plan);
        }
        auto plan = std::make_shared<const Plan>(std::move(*plan_));
        plan_.reset();
        RunOptions options;
        options.record_spans = step_events(*plan) <= kMostEvents;
        auto trace =
            std::make_shared<const Trace>(EventRunner().run(request_.scenario, *plan, options));
        detail = make_step_detail(request_.revision, row, std::move(plan), std::move(trace),
                                  *evaluation.report.strategies[row].simulated);
    }
    cache_.set_detail(strategy, detail);
    return detail;
}

void Evaluator::Worker::publish(const std::function<void(Results&)>& change) {
    {
        const std::lock_guard lock(mutex_);
        change(results_);
    }
    emit owner_.ready();
}

Evaluator::Evaluator(std::string calibration_file, Machine machine, QObject* parent)
    : QObject(parent),
      worker_(std::make_unique<Worker>(*this, std::move(calibration_file), std::move(machine))) {}

Evaluator::~Evaluator() = default;

void Evaluator::request(Request request) { worker_->request(std::move(request)); }
Evaluator::Results Evaluator::results() const { return worker_->results(); }
void Evaluator::wait() { worker_->wait(); }
std::int64_t Evaluator::simulated() const { return worker_->simulated(); }

}  // namespace shardscope::gui
