#include "core/strategy/validate.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/strategy/check_dispatch.h"
#include "core/strategy/check_offload.h"
#include "core/strategy/layer_pattern.h"
#include "core/strategy/zero_plus_plus.h"

namespace shardscope {
namespace {

std::vector<std::int64_t> divisors_of(std::int64_t n) {
    std::vector<std::int64_t> divisors;
    for (std::int64_t d = 1; d <= n / d; ++d) {
        if (n % d != 0) continue;
        divisors.push_back(d);
        if (d != n / d) divisors.push_back(n / d);
    }
    std::sort(divisors.begin(), divisors.end());
    return divisors;
}

// The divisors of `n` around `wanted`, as "1, 2 or 4"; at most six, so that a message stays short. None
// is below `least`.
std::string divisors_near(std::int64_t n, std::int64_t wanted, std::int64_t least = 1) {
    constexpr std::ptrdiff_t kEachSide = 3;
    std::vector<std::int64_t> all = divisors_of(n);
    std::erase_if(all, [&](std::int64_t d) { return d < least; });
    const auto middle = std::lower_bound(all.begin(), all.end(), wanted);
    const auto first = middle - std::min(kEachSide, middle - all.begin());
    const auto last = middle + std::min(kEachSide, all.end() - middle);
    std::vector<std::string> words;
    for (auto d = first; d != last; ++d) words.push_back(std::to_string(*d));
    return join_or(words);
}

[[noreturn]] void refuse_strategy(const Strategy& s, const char* rule, const std::string& message,
                                  const std::string& fix) {
    throw Error(rule, fmt::format("{}: {}", place_of(s), message), fix);
}

void check_positive(const Strategy& s, const char* name, std::int64_t value) {
    if (value < 1)
        refuse_strategy(s, "range", fmt::format("{} is {}", name, value), "use 1 or more");
}

void check_degrees(const Strategy& s) {
    check_positive(s, "tp", s.tp);
    check_positive(s, "cp", s.cp);
    check_positive(s, "pp", s.pp);
    check_positive(s, "ep", s.ep);
    check_positive(s, "etp", s.etp.value_or(1));
    check_positive(s, "dp", s.dp.value_or(1));
    check_positive(s, "ranks", s.ranks.value_or(1));
}

void check_ranges(const TrainingSpec& training, const Strategy& s) {
    check_positive(s, "global_batch", training.global_batch);
    check_degrees(s);
    check_positive(s, "micro_batch", s.micro_batch.value_or(1));
    check_positive(s, "virtual_stages", s.virtual_stages);
    check_positive(s, "recompute every", s.recompute.every);
    check_positive(s, "recompute blocks", s.recompute.blocks);
    if (s.recompute.blocks > s.recompute.every)
        refuse_strategy(
            s, "range",
            fmt::format("recompute {} blocks of every {}", s.recompute.blocks, s.recompute.every),
            fmt::format("use recompute blocks from 1 to {}", s.recompute.every));
    if (s.zero < 0 || s.zero > 3) {
        refuse_strategy(s, "range", fmt::format("ZeRO stage {}", s.zero), "use zero 0, 1, 2 or 3");
    }
    if (s.zero >= 2 && s.reduce_at == ReduceAt::boundary) {
        refuse_strategy(
            s, "reduce-at",
            fmt::format("zero {} keeps no whole gradients to reduce at the boundary", s.zero),
            "use reduce_at: micro_batch, or zero 0 or 1");
    }
}

// Ranks that the strategy uses.
int world_of(const Cluster& cluster, const Strategy& s) {
    const int world = cluster.world_size();
    if (s.ranks.value_or(1) > world) {
        refuse_strategy(s, "world-size",
                        fmt::format("{} ranks, but the cluster has {} ({} × {})", *s.ranks, world,
                                    cluster.nodes, cluster.gpus_per_node),
                        fmt::format("use ranks {} or fewer, or a larger cluster", world));
    }
    return s.ranks.value_or(world);
}

// "tp 4 × pp 3", with cp between them where there is any.
std::string degrees_text(const Strategy& s) {
    return s.cp == 1 ? fmt::format("tp {} × pp {}", s.tp, s.pp)
                     : fmt::format("tp {} × cp {} × pp {}", s.tp, s.cp, s.pp);
}

// The cp that lets tp · cp · pp divide `world`; without tp and pp where those alone do not.
std::string context_degree_that_divides(const Strategy& s, int world) {
    const std::int64_t others = std::int64_t{s.tp} * s.pp;
    if (world % others == 0) return fmt::format("use cp {}", divisors_near(world / others, s.cp));
    return fmt::format("use degrees whose product divides {}", world);
}

// Which degree to change so that tp · pp divides `world`.
std::string degrees_that_divide(const Strategy& s, int world) {
    if (s.cp > 1) return context_degree_that_divides(s, world);
    if (world % s.pp == 0 && s.pp > 1)
        return fmt::format("use tp {}", divisors_near(world / s.pp, s.tp));
    if (world % s.tp == 0) return fmt::format("use pp {}", divisors_near(world / s.tp, s.pp));
    if (world % s.pp == 0) return fmt::format("use tp {}", divisors_near(world, s.tp));
    return fmt::format("use tp {} with pp 1, or other degrees whose product divides {}",
                       divisors_near(world, s.tp), world);
}

// Resolves dp so that tp · cp · pp · dp = world.
int degree_of(const Strategy& s, int world, int cluster) {
    const std::int64_t model_parallel = std::int64_t{s.tp} * s.cp * s.pp;
    if (world % model_parallel != 0) {
        refuse_strategy(
            s, "world-size",
            fmt::format("{} = {} does not divide {} ranks", degrees_text(s), model_parallel, world),
            degrees_that_divide(s, world));
    }
    const std::int64_t dp = world / model_parallel;
    if (s.dp.value_or(static_cast<int>(dp)) != dp) {
        const std::int64_t product = model_parallel * *s.dp;
        refuse_strategy(s, "world-size",
                        fmt::format("{} × dp {} = {} is not the {} ranks it runs on",
                                    degrees_text(s), *s.dp, product, world),
                        product <= cluster
                            ? fmt::format("use dp {}, or ranks: {}", dp, product)
                            : fmt::format("use dp {}, or a cluster of {}", dp, product));
    }
    return static_cast<int>(dp);
}

// Ranks of a shard group: those of a node that differ in their data, or as many as asked for.
int shards_of(const Cluster& cluster, const Strategy& s, int replicas) {
    if (s.shard_group == 0) return replicas;
    if (s.zero == 0)
        refuse_strategy(s, "shard-group", "shard_group with zero 0: nothing is sharded",
                        "use zero 1, 2 or 3, or leave shard_group out");
    int group = s.shard_group;
    if (group == Strategy::kWholeNode) {
        if (cluster.gpus_per_node % s.tp != 0)
            refuse_strategy(
                s, "shard-group",
                fmt::format("tp {} does not divide the {} GPUs of a node: no group lies on one",
                            s.tp, cluster.gpus_per_node),
                "give shard_group as a number");
        group = std::min(cluster.gpus_per_node / s.tp, replicas);
    }
    if (group < 2)
        refuse_strategy(
            s, "shard-group", "a shard group of 1 rank shards nothing",
            replicas > 1 ? "use zero 0, or a larger shard_group" : "leave shard_group out");
    if (replicas % group != 0)
        refuse_strategy(
            s, "shard-group",
            fmt::format(
                "shard_group {} does not divide the {} the same parameters", group,
                replicas > 1 ? fmt::format("{} ranks that hold", replicas) : "1 rank that holds"),
            replicas > 1 ? fmt::format("use shard_group {}", divisors_near(replicas, group, 2))
                         : "leave shard_group out");
    return group;
}

void check_schedule(const Strategy& s) {
    if (s.virtual_stages == 1) return;
    const std::string asked = fmt::format("virtual_stages {}", s.virtual_stages);
    if (s.pp == 1) {
        refuse_strategy(s, "virtual-stages",
                        fmt::format("{} with pp 1: one stage has nothing to interleave", asked),
                        "use pp 2 or more, or virtual_stages 1");
    }
    if (s.schedule != Schedule::one_f_one_b) {
        refuse_strategy(
            s, "virtual-stages",
            fmt::format("{} with schedule {}: only 1f1b interleaves model chunks{}", asked,
                        schedule_name(s.schedule),
                        s.schedule == Schedule::zero_bubble_v ? ", zb-v always has two" : ""),
            "use schedule 1f1b, or virtual_stages 1");
    }
}

void check_partition(const Strategy& s) {
    const Partition& partition = s.partition;
    if (partition.kind == Partition::Kind::pattern) {
        const std::string fault = pattern_fault(partition.pattern);
        if (!fault.empty())
            refuse_strategy(s, "pattern", fmt::format("partition pattern is {}", fault),
                            kPatternFix);
    }
    if (partition.kind != Partition::Kind::counts) return;
    const std::int64_t chunks = std::int64_t{s.pp} * s.chunks_per_stage();
    const std::string product =
        s.schedule == Schedule::zero_bubble_v && s.pp > 1
            ? fmt::format("pp {} × 2 with schedule zb-v = {}", s.pp, chunks)
            : fmt::format("pp {} × virtual_stages {} = {}", s.pp, s.virtual_stages, chunks);
    if (std::ssize(partition.counts) != chunks) {
        refuse_strategy(s, "partition",
                        fmt::format("partition lists {} chunks of layers, but there are {}",
                                    partition.counts.size(), product),
                        fmt::format("list {} counts, or use partition: blocks", chunks));
    }
    for (const std::int64_t count : partition.counts) {
        if (count < 1) {
            refuse_strategy(s, "partition",
                            fmt::format("partition has a chunk of {} layers", count),
                            "give every chunk 1 layer or more");
        }
    }
}

void check_overlap(const Strategy& s) {
    if (s.overlap_gather && s.zero != 1 && s.zero != 2)
        refuse_strategy(s, "overlap-gather",
                        fmt::format("overlap_gather with zero {}: {}", s.zero,
                                    s.zero == 0 ? "every rank updates all parameters itself"
                                                : "parameters are gathered layer by layer anyway"),
                        "use zero 1 or 2, or overlap_gather: false");
    const TensorOverlap overlap = s.tp_overlap.value_or(TensorOverlap::none);
    if (overlap == TensorOverlap::none) return;
    if (s.tp == 1)
        refuse_strategy(
            s, "tp-overlap",
            fmt::format("tp_overlap {} with tp 1: there is nothing to overlap", name_of(overlap)),
            "use tp 2 or more, or tp_overlap: none");
    if (overlap == TensorOverlap::pieces && !s.sequence_parallel)
        refuse_strategy(
            s, "tp-overlap",
            "tp_overlap pieces without sequence_parallel: pieces are the rows that each rank has",
            "use sequence_parallel: true, or tp_overlap: gradients");
}

void check_model_parallel(const Strategy& s) {
    if (s.sequence_parallel && s.tp == 1) {
        refuse_strategy(
            s, "sequence-parallel",
            "sequence_parallel with tp 1: it divides rows among the ranks of a tensor-parallel "
            "group",
            "use tp 2 or more, or sequence_parallel: false");
    }
    if (s.cp > 1 && s.attention != AttentionKind::flash) {
        refuse_strategy(
            s, "context-parallel",
            fmt::format(
                "cp {} with unfused attention: attention to some of the keys goes on with its "
                "log-sum-exps, which only flash has",
                s.cp),
            "use attention: flash, or cp 1");
    }
    check_overlap(s);
    check_schedule(s);
    check_partition(s);
}

// Every shard group has all experts, each on the same ranks of the group, so that shards of one group are those of another
// (torchtitan's ParallelDims: dp_shard is a multiple of ep).
void check_expert_groups(const Strategy& s, int etp, int shards) {
    const int sharing = s.tp / etp * shards;
    if (sharing % s.ep == 0) return;
    refuse_strategy(
        s, "shard-group",
        fmt::format("shard_group {} with ep {}: the {} ranks of a group that share the experts do "
                    "not divide into expert-parallel groups",
                    shards, s.ep, sharing),
        fmt::format("use a shard_group that is a multiple of {}, or ep {}",
                    s.ep / std::gcd(s.ep, s.tp / etp), divisors_near(sharing, s.ep)));
}

// `replicas`: ranks with the same parameters but for experts; `shards`: those of a shard group.
void check_expert_parallel(const Strategy& s, int replicas, int shards) {
    const int etp = s.etp.value_or(s.tp);
    if (s.tp % etp != 0)
        refuse_strategy(
            s, "expert-parallel",
            fmt::format("etp {} does not divide tp {}: tensor-parallel ranks divide each expert, "
                        "or some of them",
                        etp, s.tp),
            fmt::format("use etp {}", divisors_near(s.tp, etp)));
    const int sharing = s.tp / etp * replicas;
    if (sharing % s.ep == 0) return check_expert_groups(s, etp, shards);
    const std::string degrees = s.cp > 1 ? "dp · cp" : "dp";
    const std::string all = etp < s.tp ? "tp / etp · " + degrees : degrees;
    const bool folds = !s.etp && s.tp * replicas % s.ep == 0;
    refuse_strategy(
        s, "expert-parallel",
        fmt::format("ep {} does not divide {} {}: {} ranks share the experts", s.ep, all, sharing,
                    etp < s.tp ? "these" : "data-parallel"),
        fmt::format("use ep {}{}", divisors_near(sharing, s.ep),
                    folds ? ", or etp 1, for tensor-parallel ranks to be among them" : ""));
}

void split_batch(const TrainingSpec& training, const Strategy& s, Layout& layout) {
    const std::int64_t global = training.global_batch;
    if (global % layout.dp != 0) {
        const std::int64_t above = (global / layout.dp + 1) * layout.dp;
        const auto divisors = divisors_of(global);
        const auto next = std::upper_bound(divisors.begin(), divisors.end(), layout.dp);
        const std::int64_t below = *std::prev(next);  // 1 divides everything
        refuse_strategy(
            s, "batch",
            fmt::format("global_batch {} does not divide over dp {}", global, layout.dp),
            fmt::format("use global_batch {}, or ranks: {} (dp {})", above,
                        below * layout.tp * layout.cp * layout.pp, below));
    }
    const std::int64_t per_rank = global / layout.dp;
    std::int64_t micro = s.micro_batch.value_or(training.micro_batch);
    if (micro == 0) micro = per_rank;
    if (micro < 1 || per_rank % micro != 0) {
        refuse_strategy(
            s, "batch",
            fmt::format("micro_batch {} does not divide the {} samples per rank (global_batch {} / "
                        "dp {})",
                        micro, per_rank, global, layout.dp),
            fmt::format("use micro_batch {}", divisors_near(per_rank, micro)));
    }
    layout.micro_batch = micro;
    layout.micro_batches = per_rank / micro;
}

// Our own memory is planned, not allocated.
void check_segments(const Strategy& s) {
    if (!s.expandable_segments || s.profile != RuntimeProfile::shardscope) return;
    refuse_strategy(
        s, "expandable-segments",
        "expandable_segments, but the profile is shardscope, whose memory is one planned "
        "arena",
        "leave out expandable_segments, or set the profile of a product that allocates");
}

}  // namespace

std::string place_of(const Strategy& strategy) {
    return strategy.place.empty() ? fmt::format("strategy {}", strategy.name) : strategy.place;
}

std::string pattern_fault(const std::string& pattern) {
    try {
        compiled_pattern(pattern);
        return "";
    } catch (const std::regex_error& error) {
        std::string reason = error.what();
        if (reason.ends_with('.')) reason.pop_back();
        return fmt::format("not a regular expression ({})", reason);
    }
}

int data_parallel_degree(const Cluster& cluster, const Strategy& strategy) {
    check_degrees(strategy);
    return degree_of(strategy, world_of(cluster, strategy), cluster.world_size());
}

Layout layout_for(const Scenario& scenario, const Strategy& strategy) {
    check_ranges(scenario.training, strategy);
    Layout layout;
    layout.world = world_of(scenario.cluster, strategy);
    layout.tp = strategy.tp;
    layout.pp = strategy.pp;
    layout.cp = strategy.cp;
    layout.dp = degree_of(strategy, layout.world, scenario.cluster.world_size());
    layout.ep = strategy.ep;
    layout.etp = strategy.etp.value_or(strategy.tp);
    layout.shards = shards_of(scenario.cluster, strategy, layout.replicas());
    layout.virtual_stages = strategy.chunks_per_stage();
    check_model_parallel(strategy);
    check_expert_parallel(strategy, layout.replicas(), layout.shards);
    check_dispatch(scenario.cluster, strategy, layout);
    check_offload(scenario.cluster, scenario.training.optimizer, strategy);
    check_segments(strategy);
    const ZeroPlusPlus groups = zero_plus_plus(scenario.cluster, strategy, layout.replicas());
    layout.secondary = groups.secondary;
    layout.node_shards = groups.node_shards;
    split_batch(scenario.training, strategy, layout);
    return layout;
}

}  // namespace shardscope
