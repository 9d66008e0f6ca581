// Which strategies a search looks at: the values that each dimension of Strategy takes, and the list of
// the candidates that follow from them for one scenario.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "core/scenario.h"
#include "core/strategy/strategy.h"

namespace shardscope {

// The values to try; candidates are all their combinations that mean something. Empty lists are errors.
// tp, pp and micro_batch empty: every value that divides what it has to (ranks, the samples of a rank).
struct SearchSpace {
    // How a pipeline works. Kept together because only 1f1b interleaves.
    struct Pipelining {
        Schedule schedule = Schedule::one_f_one_b;
        int virtual_stages = 1;
        bool operator==(const Pipelining&) const = default;
    };

    std::vector<int> tp, pp;
    std::vector<std::int64_t> micro_batch;
    std::vector<bool> sequence_parallel{false};           // where tp > 1
    std::vector<Pipelining> pipelining{{}};               // where pp > 1
    std::vector<Partition> partition{{}};                 // where pp > 1
    std::vector<int> zero{0, 1, 2, 3};                    // where dp > 1
    std::vector<Bytes> bucket{Strategy{}.bucket};         // where dp > 1 and zero < 3
    std::vector<ReduceAt> reduce_at{ReduceAt::by_stage};  // zero < 2 and several micro-batches
    std::vector<int> prefetch{Strategy{}.prefetch};       // where zero is 3
    std::vector<Recompute> recompute{{}};
    std::vector<AttentionKind> attention{AttentionKind::flash};  // models with attention

    // What a practitioner would try: a few hundred to a few thousand candidates.
    static SearchSpace usual(const Scenario& scenario, const Model& model);
    // Every dimension finely: 100,000 candidates and more for large models.
    static SearchSpace thorough(const Scenario& scenario, const Model& model);
};

// The candidates of a space, numbered from 0. Nothing is stored per candidate, so that lists may be
// long. Combinations that differ only in a field without effect are one candidate: the effectless
// field has Strategy's default. Immutable; safe to share between threads.
class CandidateList {
public:
    // Works out which combinations exist: those whose degrees divide what they must and whose model can
    // be cut that way. Takes milliseconds. Throws Error "search-space" for an empty list of values.
    CandidateList(const Scenario& scenario, const Model& model, const SearchSpace& space);

    std::uint64_t size() const { return size_; }
    // Candidate `index` < size(), named by its layout and complete: tp, pp, dp and micro_batch are set.
    Strategy strategy(std::uint64_t index) const;

    // Combinations that were left out, by the rule that refuses them (Error::rule).
    const std::map<std::string, std::uint64_t>& refused() const { return refused_; }

    // Candidates of one shape share tp, pp, dp and the micro-batch: neighbours in number and in cost.
    struct Shape {
        Strategy strategy;  // with those fields
        Layout layout;
        std::uint64_t first = 0, count = 0;  // candidates
    };
    const std::vector<Shape>& shapes() const { return shapes_; }

private:
    // How gradients, states and parameters are shared among data-parallel ranks.
    struct Sharding {
        int zero = 0;
        Bytes bucket;
        ReduceAt reduce_at = ReduceAt::by_stage;
        int prefetch = 1;
    };
    struct Cut {
        SearchSpace::Pipelining pipelining;
        Partition partition;
    };
    struct Compute {
        Recompute recompute;
        AttentionKind attention = AttentionKind::flash;
    };
    // What the candidates of one shape are the product of, the last fastest.
    struct Choices {
        std::vector<bool> sequence_parallel;
        std::vector<Cut> cuts;
        std::vector<Sharding> shardings;
        std::vector<Compute> computes;
        std::uint64_t count() const;
    };
    class Builder;

    std::vector<Shape> shapes_;
    std::vector<Choices> choices_;  // per shape
    std::uint64_t size_ = 0;
    std::map<std::string, std::uint64_t> refused_;
};

// A candidate's name: what distinguishes it from others, "tp2 sp pp4 dp2 zero1 1f1b v2, 4 × 1 samples, …".
std::string candidate_name(const Strategy& strategy, const Layout& layout);

}  // namespace shardscope
