#include "simulator/search_space.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "core/error.h"
#include "core/lowering/stages.h"
#include "core/lowering/tensor_split.h"
#include "core/lowering/units.h"
#include "core/strategy/validate.h"

namespace shardscope {
namespace {

constexpr std::uint64_t kMost = 1'000'000'000;  // candidates; their number fits into 32 bits

std::vector<std::int64_t> divisors_of(std::int64_t n) {
    std::vector<std::int64_t> low, high;
    for (std::int64_t d = 1; d <= n / d; ++d) {
        if (n % d != 0) continue;
        low.push_back(d);
        if (d != n / d) high.push_back(n / d);
    }
    low.insert(low.end(), high.rbegin(), high.rend());
    return low;
}

std::int64_t blocks_of(const Model& model) {
    return std::count_if(model.layers.begin(), model.layers.end(), [](const Layer& layer) {
        return std::holds_alternative<BlockLayer>(layer.kind);
    });
}

// Powers of two that a practitioner tries, up to `most`; the scenario's own value is one of them.
std::vector<std::int64_t> usual_micro_batches(const TrainingSpec& training, std::int64_t most) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t size = 1; size <= most; size *= 2) sizes.push_back(size);
    if (training.micro_batch > 0 &&
        std::find(sizes.begin(), sizes.end(), training.micro_batch) == sizes.end())
        sizes.push_back(training.micro_batch);
    return sizes;
}

std::vector<int> tensor_degrees(const Cluster& cluster) {
    std::vector<int> degrees;
    for (const std::int64_t d : divisors_of(cluster.world_size()))
        if (d <= std::max(1, cluster.gpus_per_node)) degrees.push_back(static_cast<int>(d));
    return degrees;
}

template <class T>
void require_values(const std::vector<T>& values, const char* name) {
    if (values.empty())
        throw Error("search-space", fmt::format("no value of {} to try", name),
                    fmt::format("list at least one {}", name));
}

}  // namespace

SearchSpace SearchSpace::usual(const Scenario& scenario, const Model& model) {
    SearchSpace space;
    space.tp = tensor_degrees(scenario.cluster);  // within a node
    space.micro_batch = usual_micro_batches(scenario.training, 8);
    if (model.tokens) space.sequence_parallel = {true};  // less memory for the same traffic
    space.pipelining = {
        {Schedule::one_f_one_b, 1}, {Schedule::one_f_one_b, 2}, {Schedule::zero_bubble, 1}};
    if (blocks_of(model) > 0)
        space.recompute = {{Recompute::Kind::none, 1},
                           {Recompute::Kind::selective, 1},
                           {Recompute::Kind::full, 1}};
    return space;
}

SearchSpace SearchSpace::thorough(const Scenario& scenario, const Model& model) {
    SearchSpace space = usual(scenario, model);
    if (model.tokens) space.sequence_parallel = {true, false};
    space.tp.clear();
    space.micro_batch.clear();
    space.pipelining = {{Schedule::one_f_one_b, 1}, {Schedule::one_f_one_b, 2},
                        {Schedule::one_f_one_b, 4}, {Schedule::one_f_one_b, 8},
                        {Schedule::gpipe, 1},       {Schedule::zero_bubble, 1}};
    space.partition = {{}, {}, {}};
    space.partition[1].kind = Partition::Kind::uniform;
    space.partition[2].kind = Partition::Kind::parameters;
    for (const std::int64_t mib : {100, 250, 500, 1000, 1500, 2000, 3000, 4000})
        space.bucket.push_back(Bytes(mib * kMiB));
    space.reduce_at = {ReduceAt::by_stage, ReduceAt::micro_batch};
    space.prefetch = {1, 0, 2, 4};
    if (blocks_of(model) > 0)
        for (const int every : {2, 3, 4, 6, 8})
            space.recompute.push_back({Recompute::Kind::full, every});
    return space;
}

std::uint64_t CandidateList::Family::count(std::size_t computes) const {
    return std::uint64_t{sequence_parallel.size()} * shardings.size() * computes;
}

// Degrees first, then how the model is cut; both know at once what cannot be.
class CandidateList::Builder {
public:
    Builder(CandidateList& list, const Scenario& scenario, const Model& model,
            const SearchSpace& space)
        : list_(list), scenario_(scenario), model_(model), space_(space) {
        require_values(space.sequence_parallel, "sequence_parallel");
        require_values(space.pipelining, "pipelining");
        require_values(space.partition, "partition");
        require_values(space.zero, "zero");
        require_values(space.bucket, "bucket");
        require_values(space.reduce_at, "reduce_at");
        require_values(space.prefetch, "prefetch");
        require_values(space.recompute, "recompute");
        require_values(space.attention, "attention");
    }

    void run() {
        add_computes();
        for (const int tp : degrees(space_.tp)) add_tensor_degree(tp);
        for (Family& family : list_.families_) {
            family.first = list_.size_;
            list_.size_ += family.count(list_.computes_.size());
        }
        if (list_.size_ > kMost)
            throw Error("search-space",
                        fmt::format("{} candidates are more than {}", list_.size_, kMost),
                        "try fewer values");
    }

private:
    // How the layers are divided: one of space_.pipelining with one of space_.partition.
    struct Cut {
        SearchSpace::Pipelining pipelining;
        Partition partition;
        std::vector<LayerRange> chunks;  // in model order
    };

    std::vector<int> degrees(const std::vector<int>& values) const {
        if (!values.empty()) return values;
        std::vector<int> all;
        for (const std::int64_t d : divisors_of(scenario_.cluster.world_size()))
            all.push_back(static_cast<int>(d));
        return all;
    }

    template <class Work>
    bool allowed(Work&& work) {
        try {
            work();
            return true;
        } catch (const Error& error) {
            auto& refused = list_.refused_;
            auto it = std::find_if(refused.begin(), refused.end(),
                                   [&](const Refusal& r) { return r.rule == error.rule; });
            if (it == refused.end()) it = refused.insert(it, {error.rule, error.message, 0});
            ++it->combinations;
            return false;
        }
    }

    // Blocks are what recomputation and the kind of attention are about.
    void add_computes() {
        const std::int64_t blocks = blocks_of(model_);
        if (blocks == 0) {
            list_.computes_ = {{}};
            return;
        }
        for (const AttentionKind attention : space_.attention) {
            // Which blocks: where there are few, different choices come to the same ones.
            std::set<std::pair<Recompute::Kind, std::vector<bool>>> known;
            for (const Recompute& recompute : space_.recompute) {
                std::vector<bool> chosen;
                for (std::int64_t block = 0; block < blocks; ++block)
                    chosen.push_back(recompute.has(block));
                if (known.emplace(recompute.kind, std::move(chosen)).second)
                    list_.computes_.push_back({recompute, attention});
            }
        }
        if (list_.computes_.empty()) list_.computes_ = {{}};
    }

    void add_tensor_degree(int tp) {
        std::optional<LocalModel> local;
        Strategy strategy;
        strategy.tp = tp;
        strategy.name = fmt::format("tp{}", tp);
        if (!allowed([&] {
                data_parallel_degree(scenario_.cluster, strategy);
                local = split_model(model_, tp);
            }))
            return;
        for (const int pp : degrees(space_.pp)) {
            strategy.pp = pp;
            strategy.name = fmt::format("tp{} pp{}", tp, pp);
            int dp = 1;
            if (!allowed([&] { dp = data_parallel_degree(scenario_.cluster, strategy); })) continue;
            for (const int ep : expert_degrees(dp)) {
                Strategy divided = strategy;
                divided.ep = ep;
                add_degrees(divided, dp, *local);
            }
            // Whole experts, which tensor-parallel ranks share with the others.
            for (const int ep : tp > 1 ? expert_degrees(tp * dp) : std::vector<int>()) {
                if (ep == 1) continue;
                Strategy folded = strategy;
                folded.ep = ep;
                folded.etp = 1;
                add_degrees(folded, dp, *local);
            }
        }
    }

    // Degrees that divide the number of experts and of the ranks to share them.
    std::vector<int> expert_degrees(int ranks) const {
        std::int64_t experts = 1;
        for (const Layer& layer : model_.layers)
            if (const auto* block = std::get_if<BlockLayer>(&layer.kind);
                block != nullptr && block->has_experts())
                experts = block->experts.count;
        std::vector<int> degrees;
        for (const std::int64_t ep : divisors_of(std::gcd(std::int64_t{ranks}, experts)))
            if (space_.ep.empty() || std::ranges::find(space_.ep, ep) != space_.ep.end())
                degrees.push_back(static_cast<int>(ep));
        return degrees;
    }

    void add_degrees(const Strategy& strategy, int dp, const LocalModel& local) {
        const std::vector<Layout> layouts = layouts_of(strategy, dp);
        if (layouts.empty()) return;
        for (const Cut& cut : cuts_of(strategy, local.model)) {
            const SearchSpace::Buckets buckets =
                dp > 1 ? buckets_of(cut, strategy, local) : SearchSpace::Buckets();
            for (const Layout& layout : layouts) add_family(strategy, layout, cut, buckets);
        }
    }

    // One per size of the micro-batch that divides a rank's samples.
    std::vector<Layout> layouts_of(Strategy strategy, int dp) {
        std::vector<std::int64_t> sizes = space_.micro_batch;
        const std::int64_t batch = scenario_.training.global_batch;
        if (sizes.empty()) sizes = batch % dp == 0 ? divisors_of(batch / dp) : sizes;
        if (sizes.empty()) sizes = {1};  // for the refusal's sake
        std::vector<Layout> layouts;
        for (const std::int64_t size : sizes) {
            strategy.micro_batch = size;
            strategy.name = fmt::format("tp{} pp{} micro-batch {}", strategy.tp, strategy.pp, size);
            allowed([&] { layouts.push_back(layout_for(scenario_, strategy)); });
        }
        return layouts;
    }

    // The ways to cut the model, without those that give the same as one before.
    std::vector<Cut> cuts_of(const Strategy& degrees, const Model& local) {
        if (degrees.pp == 1) return {{{}, {}, {{0, local.layers.size()}}}};
        std::vector<Cut> cuts;
        for (const SearchSpace::Pipelining& pipelining : space_.pipelining)
            for (const Partition& partition : space_.partition) {
                Cut cut{pipelining, partition, {}};
                Strategy strategy = degrees;
                strategy.micro_batch = 1;  // cuts go with any
                apply(cut, strategy);
                if (!allowed([&] {
                        layout_for(scenario_, strategy);
                        cut.chunks = partition_layers(local, strategy);
                    }))
                    continue;
                const auto same = [&](const Cut& other) {
                    return other.pipelining == pipelining &&
                           std::equal(cut.chunks.begin(), cut.chunks.end(), other.chunks.begin(),
                                      other.chunks.end(),
                                      [](const LayerRange& a, const LayerRange& b) {
                                          return a.first == b.first && a.last == b.last;
                                      });
                };
                if (std::none_of(cuts.begin(), cuts.end(), same)) cuts.push_back(std::move(cut));
            }
        return cuts;
    }

    static void apply(const Cut& cut, Strategy& strategy) {
        strategy.schedule = cut.pipelining.schedule;
        strategy.virtual_stages = cut.pipelining.virtual_stages;
        strategy.partition = cut.partition;
    }

    // Sizes of buckets that fill differently.
    SearchSpace::Buckets buckets_of(const Cut& cut, Strategy strategy,
                                    const LocalModel& local) const {
        if (space_.bucket.size() == 1) return space_.bucket;
        const TrainingSpec& training = scenario_.training;
        SearchSpace::Buckets buckets;
        std::vector<std::vector<std::size_t>> fillings;
        for (const std::optional<Bytes>& bucket : space_.bucket) {
            strategy.bucket = bucket;
            UnitRules rules;
            rules.gradient = training.gradient_dtype.value_or(training.precision);
            rules.bucket = bucket_size(strategy);
            rules.tp = strategy.tp;
            rules.optimizer = training.optimizer;
            std::vector<std::size_t> filling;
            for (int stage = 0; stage < strategy.pp; ++stage)
                for (const Unit& unit : make_units(local.model, local.splits,
                                                   stage_chunks(cut, stage, strategy), rules))
                    filling.push_back(unit.entries.size());
            if (std::find(fillings.begin(), fillings.end(), filling) != fillings.end()) continue;
            fillings.push_back(std::move(filling));
            buckets.push_back(bucket);
        }
        return buckets;
    }

    static std::vector<LayerRange> stage_chunks(const Cut& cut, int stage, Strategy strategy) {
        apply(cut, strategy);
        std::vector<LayerRange> chunks;
        for (const int c : chunks_of_stage(strategy, stage))
            chunks.push_back(cut.chunks[static_cast<std::size_t>(c)]);
        return chunks;
    }

    void add_family(const Strategy& degrees, const Layout& layout, const Cut& cut,
                    const SearchSpace::Buckets& buckets) {
        Family family;
        family.strategy = degrees;
        family.strategy.micro_batch = layout.micro_batch;
        apply(cut, family.strategy);
        family.dp = layout.dp;
        family.sequence_parallel = sequence_parallel_of(layout);
        family.shardings = shardings_of(layout, cut, buckets);
        list_.families_.push_back(std::move(family));
    }

    std::vector<bool> sequence_parallel_of(const Layout& layout) const {
        if (layout.tp == 1) return {false};
        return model_.has_experts() ? std::vector<bool>{true} : space_.sequence_parallel;
    }

    std::vector<Sharding> shardings_of(const Layout& layout, const Cut& cut,
                                       const SearchSpace::Buckets& buckets) const {
        if (layout.dp == 1) return {{}};
        std::vector<Sharding> shardings;
        for (const int zero : space_.zero) {
            Sharding sharding;
            sharding.zero = zero;
            if (zero == 3) {
                for (const int prefetch : prefetches_of(cut)) {
                    sharding.prefetch = prefetch;
                    shardings.push_back(sharding);
                }
                continue;
            }
            for (const ReduceAt reduce_at : reductions_of(layout, zero))
                for (const std::optional<Bytes>& bucket : buckets) {
                    sharding.reduce_at = reduce_at;
                    sharding.bucket = bucket;
                    shardings.push_back(sharding);
                }
        }
        return shardings;
    }

    // Looking ahead further than the longest chunk is looking at all of it.
    std::vector<int> prefetches_of(const Cut& cut) const {
        std::size_t longest = 1;
        for (const LayerRange& chunk : cut.chunks)
            longest = std::max(longest, chunk.last - chunk.first);
        std::vector<int> kept;
        std::vector<std::size_t> effects;
        for (const int prefetch : space_.prefetch) {
            const std::size_t effect = std::min(static_cast<std::size_t>(prefetch), longest - 1);
            if (std::find(effects.begin(), effects.end(), effect) != effects.end()) continue;
            effects.push_back(effect);
            kept.push_back(prefetch);
        }
        return kept;
    }

    // Stages 2 and 3 have no choice; with one micro-batch there is none.
    std::vector<ReduceAt> reductions_of(const Layout& layout, int zero) const {
        if (zero >= 2) return {ReduceAt::by_stage};
        std::vector<ReduceAt> kept;
        for (ReduceAt reduce_at : space_.reduce_at) {
            if (reduce_at == ReduceAt::boundary || layout.micro_batches == 1)
                reduce_at = ReduceAt::by_stage;
            if (std::find(kept.begin(), kept.end(), reduce_at) == kept.end())
                kept.push_back(reduce_at);
        }
        return kept;
    }

    CandidateList& list_;
    const Scenario& scenario_;
    const Model& model_;
    const SearchSpace& space_;
};

CandidateList::CandidateList(const Scenario& scenario, const Model& model,
                             const SearchSpace& space) {
    Builder(*this, scenario, model, space).run();
}

Strategy CandidateList::strategy(std::uint64_t index) const {
    const auto after =
        std::upper_bound(families_.begin(), families_.end(), index,
                         [](std::uint64_t i, const Family& family) { return i < family.first; });
    const Family& family = *std::prev(after);
    std::uint64_t rest = index - family.first;
    const Compute& compute = computes_[rest % computes_.size()];
    rest /= computes_.size();
    const Sharding& sharding = family.shardings[rest % family.shardings.size()];
    rest /= family.shardings.size();
    Strategy strategy = family.strategy;
    strategy.sequence_parallel = family.sequence_parallel[rest];
    strategy.zero = sharding.zero;
    strategy.bucket = sharding.bucket;
    strategy.reduce_at = sharding.reduce_at;
    strategy.prefetch = sharding.prefetch;
    strategy.recompute = compute.recompute;
    strategy.attention = compute.attention;
    strategy.name = candidate_name(strategy, family.dp);
    return strategy;
}

std::string candidate_name(const Strategy& strategy, int dp) {
    const Strategy standard;
    std::string name = layout_of(strategy, dp);
    name += fmt::format(", micro-batch {}", strategy.micro_batch.value_or(0));
    if (strategy.partition.kind == Partition::Kind::uniform) name += ", uniform partition";
    if (strategy.partition.kind == Partition::Kind::parameters) name += ", partition by parameters";
    if (strategy.bucket) name += fmt::format(", bucket {} MiB", strategy.bucket->value / kMiB);
    if (strategy.reduce_at == ReduceAt::micro_batch && strategy.zero < 2)
        name += ", reduced every micro-batch";
    if (strategy.prefetch != standard.prefetch)
        name += fmt::format(", prefetch {}", strategy.prefetch);
    return name;
}

}  // namespace shardscope
