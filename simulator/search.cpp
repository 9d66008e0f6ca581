#include "simulator/search.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "core/report/evaluate.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

using Clock = std::chrono::steady_clock;

// The k-th of `count` numbers in an order that is spread over all of them at any time: multiples of a
// step near count divided by the golden ratio, which visit every number when the step has no divisor in
// common with the count (Knuth, The Art of Computer Programming 3, section 6.4, theorem S).
class SpreadOrder {
public:
    explicit SpreadOrder(std::uint64_t count) : count_(count) {
        step_ = static_cast<std::uint64_t>(static_cast<double>(count) * 0.6180339887498949);
        while (step_ == 0 || std::gcd(step_, count) != 1) ++step_;
    }
    std::uint64_t operator()(std::uint64_t k) const {
        return k * step_ % count_;  // both are below 2^32 (CandidateList)
    }

private:
    std::uint64_t count_, step_ = 0;
};

// On Linux a thread has a priority of its own; that it cannot be lowered is no failure of a search.
void give_way() { setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10); }

// What the threads of one search share.
class Search {
public:
    Search(const Scenario& scenario, const std::shared_ptr<const Model>& model,
           const CandidateList& candidates, const SearchOptions& options)
        : scenario_(scenario),
          model_(model),
          candidates_(candidates),
          options_(options),
          order_(candidates.size()) {}

    void run() {
        {
            std::vector<std::jthread> threads;
            for (int i = 1; i < options_.threads; ++i) threads.emplace_back([this] { work(); });
            work();
        }
        if (failure_) std::rethrow_exception(failure_);
        publish();
    }

private:
    void work() {
        if (options_.background) give_way();
        try {
            EventRunner simulator;
            while (!options_.stop.stop_requested() && !failed_) {
                const std::uint64_t turn = next_++;
                if (turn >= candidates_.size()) return;
                evaluate(order_(turn), simulator);
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!failure_) failure_ = std::current_exception();
            failed_ = true;
        }
    }

    void evaluate(std::uint64_t number, EventRunner& simulator) {
        Candidate candidate = plan_strategy(scenario_, model_, candidates_.strategy(number),
                                            options_.cudnn_attention);
        simulate_candidate(scenario_, candidate, simulator);
        add(number, candidate.report);
    }

    void add(std::uint64_t number, const StrategyReport& report) {
        const std::lock_guard lock(mutex_);
        if (report.error)
            ++pending_.invalid[report.error->rule];
        else
            pending_.points.push_back(point_of(number, report));
        ++evaluated_;
        if (Clock::now() - published_ >= std::chrono::duration<double>(options_.interval.value))
            publish();
    }

    static SearchPoint point_of(std::uint64_t number, const StrategyReport& report) {
        const Result& result = *report.simulated;
        SearchPoint point;
        point.candidate = number;
        point.peak = result.peak_memory().peak;
        point.step_time = result.step_time;
        point.tokens_per_s_per_gpu = result.tokens_per_s_per_gpu;
        point.mfu = static_cast<float>(result.mfu);
        point.fits = report.status == Status::fits;
        return point;
    }

    void publish() {
        published_ = Clock::now();
        SearchIncrement increment = std::exchange(pending_, {});
        increment.evaluated = evaluated_;
        increment.candidates = candidates_.size();
        increment.elapsed = Seconds(std::chrono::duration<double>(published_ - began_).count());
        if (options_.on_increment) options_.on_increment(std::move(increment));
    }

    const Scenario& scenario_;
    const std::shared_ptr<const Model>& model_;
    const CandidateList& candidates_;
    const SearchOptions& options_;
    const SpreadOrder order_;
    std::atomic<std::uint64_t> next_{0};
    std::atomic<bool> failed_{false};

    std::mutex mutex_;  // of what follows
    const Clock::time_point began_ = Clock::now();
    Clock::time_point published_ = began_;
    SearchIncrement pending_;
    std::uint64_t evaluated_ = 0;
    std::exception_ptr failure_;
};

}  // namespace

void ExhaustivePlanner::search(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                               const CandidateList& candidates,
                               const SearchOptions& options) const {
    Search(scenario, model, candidates, options).run();
}

}  // namespace shardscope
