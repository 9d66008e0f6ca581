// The search for a strategy: one interface for whoever can do it, and the plain way, which simulates every
// candidate.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "core/scenario.h"
#include "core/units.h"
#include "simulator/search_space.h"

namespace shardscope {

// What was found out about one candidate: the figures of `shardscope simulate` for its strategy.
struct SearchPoint {
    std::uint64_t candidate = 0;  // number in the CandidateList
    Bytes peak;                   // of the rank that needs most
    Seconds step_time;
    double tokens_per_s_per_gpu = 0;  // samples for models without a sequence
    float mfu = 0;                    // 0: the device's peak is not known
    bool fits = false;
};

// What happened since the last call.
struct SearchIncrement {
    std::vector<SearchPoint> points;               // new ones, in any order
    std::map<std::string, std::uint64_t> invalid;  // new ones, by the rule that refuses them
    std::uint64_t evaluated = 0,
                  candidates = 0;  // so far, with the invalid ones; of the whole list
    Seconds elapsed;               // since the search began
};

struct SearchOptions {
    int threads = 1;
    // Threads that give way to others of this process, so that a window stays smooth.
    bool background = false;
    bool cudnn_attention = false;  // ExecutionTarget's
    std::stop_token stop;          // ends the search within the candidates being simulated
    Seconds interval{0.1};         // between increments, at least
    // Called from one of the search's threads, never from two at once, and once more at the end.
    std::function<void(SearchIncrement)> on_increment;
};

// Whoever finds strategies. Implementations have no state that a search changes: one object may serve
// several searches.
class Planner {
public:
    virtual ~Planner() = default;
    // Evaluates candidates of the list and tells of them in increments; which ones, and in which order, is
    // the planner's choice. Returns when all is done or `stop` asks for it. What the increments tell in sum
    // does not depend on the number of threads. Candidates that cannot be planned or simulated are
    // counted by their rule, not thrown.
    virtual void search(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                        const CandidateList& candidates, const SearchOptions& options) const = 0;
};

// Simulates every candidate once, in an order that is spread over the list, so that what is known at any
// time is a fair picture of the whole.
class ExhaustivePlanner : public Planner {
public:
    void search(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                const CandidateList& candidates, const SearchOptions& options) const override;
};

}  // namespace shardscope
