// Which strategies a search looks at: the values that each dimension of Strategy takes, and the list of
// the candidates that follow from them for one scenario.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "core/scenario.h"
#include "core/strategy/strategy.h"

namespace shardscope {

// The values to try; candidates are all their combinations that mean something. tp, pp, ep and micro_batch
// may be empty: every value that divides what it has to (ranks, the samples of a rank).
struct SearchSpace {
    // How a pipeline works. Kept together because only 1f1b interleaves.
    struct Pipelining {
        Schedule schedule = Schedule::one_f_one_b;
        int virtual_stages = 1;
        bool operator==(const Pipelining&) const = default;
    };

    std::vector<int> tp, pp;
    std::vector<std::int64_t> micro_batch;
    // Models with experts: expert-parallel degrees; empty: every one that divides dp and the experts.
    std::vector<int> ep;
    // Where tp > 1; a mixture of experts needs it there.
    std::vector<bool> sequence_parallel{false};
    std::vector<Pipelining> pipelining{{}};               // where pp > 1
    std::vector<Partition> partition{{}};                 // where pp > 1
    std::vector<int> zero{0, 1, 2, 3};                    // where dp > 1
    using Buckets = std::vector<std::optional<Bytes>>;    // Strategy::bucket
    Buckets bucket{{}};                                   // where dp > 1 and zero < 3
    std::vector<ReduceAt> reduce_at{ReduceAt::by_stage};  // zero < 2 and several micro-batches
    std::vector<int> prefetch{Strategy{}.prefetch};       // where zero is 3
    std::vector<Recompute> recompute{{}};
    std::vector<AttentionKind> attention{AttentionKind::flash};  // models with attention

    // What a practitioner would try: a few hundred to a few thousand candidates.
    static SearchSpace usual(const Scenario& scenario, const Model& model);
    // Every dimension finely, 100,000 candidates and more for large models. Flash attention only: unfused
    // attention needs more memory and more time.
    static SearchSpace thorough(const Scenario& scenario, const Model& model);
};

// The candidates of a space, numbered from 0. Nothing is stored per candidate, so that lists may be
// long. Combinations that differ only in what has no effect are one candidate: a field without effect
// has Strategy's default, and of values with the same effect (buckets that hold the same layers, ways to
// divide layers with the same result) the first one listed stands for all. Buckets without data
// parallelism, which reduce nothing and only lay out memory a little differently, count as without effect. Immutable; safe to share
// between threads.
class CandidateList {
public:
    // Combinations that do not exist for this scenario: degrees that do not divide what they must, or a
    // model that cannot be cut that way.
    struct Refusal {
        std::string rule;                // Error::rule
        std::string example;             // the message of the first one
        std::uint64_t combinations = 0;  // of degrees, or of degrees and a way to cut the model
    };

    // Works out which combinations exist; takes milliseconds. Throws Error "search-space" for an empty
    // list of values where a value is needed, and for more than a thousand million candidates.
    CandidateList(const Scenario& scenario, const Model& model, const SearchSpace& space);

    std::uint64_t size() const { return size_; }
    // Candidate `index` < size(), with tp, pp, ep and micro_batch set; dp follows from the cluster. Its name
    // says all that distinguishes it from others.
    Strategy strategy(std::uint64_t index) const;

    const std::vector<Refusal>& refused() const { return refused_; }

private:
    // How gradients, states and parameters are shared among data-parallel ranks.
    struct Sharding {
        int zero = 0;
        std::optional<Bytes> bucket;
        ReduceAt reduce_at = ReduceAt::by_stage;
        int prefetch = Strategy{}.prefetch;
    };
    // What candidates with the same degrees and the same cut of the model are the product of; the last
    // one is the fastest.
    struct Family {
        Strategy strategy;  // degrees, micro-batch and cut
        int dp = 1;
        std::uint64_t first = 0;  // number of its first candidate
        std::vector<bool> sequence_parallel;
        std::vector<Sharding> shardings;
        std::uint64_t count(std::size_t computes) const;
    };
    struct Compute {
        Recompute recompute;
        AttentionKind attention = AttentionKind::flash;
    };
    class Builder;

    std::vector<Family> families_;
    std::vector<Compute> computes_;
    std::uint64_t size_ = 0;
    std::vector<Refusal> refused_;
};

// What distinguishes a strategy from other candidates: "tp2 sp pp4 dp2 zero1 1f1b v2, recompute full,
// micro-batch 1, bucket 100 MiB".
std::string candidate_name(const Strategy& strategy, int dp);

}  // namespace shardscope
