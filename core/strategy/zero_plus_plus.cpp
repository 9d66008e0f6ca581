#include "core/strategy/zero_plus_plus.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/strategy/validate.h"

namespace shardscope {
namespace {

[[noreturn]] void refuse_zero_plus_plus(const Strategy& s, const std::string& message,
                                        const std::string& fix) {
    throw Error("zero++", fmt::format("{}: {}", place_of(s), message), fix);
}

// The key of the first of the three that is used; empty: none is.
std::string first_used(const Strategy& s) {
    if (s.quantized_weights) return "quantized_weights";
    if (s.secondary_shard != 0) return "secondary_shard";
    return s.quantized_gradients ? "quantized_gradients" : "";
}

// Stage 3 alone has them in DeepSpeed (deepspeed/runtime/engine.py, zero/config.py); other products do not.
void check_use(const Strategy& s, const std::string& key, int replicas) {
    const std::string without = "leave " + key + " out";
    if (s.zero < 3)
        refuse_zero_plus_plus(
            s, fmt::format("{} with zero {}: parameters are not gathered", key, s.zero),
            "use zero 3, or " + without);
    if (replicas == 1)
        refuse_zero_plus_plus(
            s, key + " with one rank that holds each parameter: nothing is gathered", without);
    if (s.shard_group != 0)
        refuse_zero_plus_plus(s, key + " with shard_group: both say which ranks hold what",
                              "leave out one of them");
    if (s.ep > 1 || s.etp.value_or(s.tp) < s.tp)
        refuse_zero_plus_plus(
            s, fmt::format("{} with ep {}: experts have groups of their own", key, s.ep),
            "leave out one of them");
    if (is_fsdp(s.profile) || is_megatron(s.profile) || s.profile == RuntimeProfile::deepspeed_2021)
        refuse_zero_plus_plus(
            s, fmt::format("{} with profile {}, which has no ZeRO++", key, name_of(s.profile)),
            "use profile shardscope or deepspeed, or " + without);
}

// Replicas of a node.
int on_a_node(const Cluster& cluster, const Strategy& s, const char* key, int replicas) {
    const int ranks = cluster.gpus_per_node / std::max(1, s.tp);
    if (cluster.gpus_per_node % s.tp != 0 || replicas % std::min(ranks, replicas) != 0)
        refuse_zero_plus_plus(
            s,
            fmt::format("{}: tp {} and the {} GPUs of a node leave no group of data-parallel "
                        "ranks on each",
                        key, s.tp, cluster.gpus_per_node),
            "use whole nodes, and a tp that divides them");
    return std::min(ranks, replicas);
}

int secondary_ranks(const Cluster& cluster, const Strategy& s, int replicas) {
    if (s.secondary_shard == 0) return 1;
    if (s.secondary_shard == Strategy::kWholeNode) {
        const int ranks = on_a_node(cluster, s, "secondary_shard", replicas);
        if (ranks > 1) return ranks;
    }
    if (s.secondary_shard < 2)
        refuse_zero_plus_plus(s, "secondary_shard of 1 rank: every rank would keep all parameters",
                              "use 2 or more, or zero 2");
    if (replicas % s.secondary_shard != 0)
        refuse_zero_plus_plus(
            s,
            fmt::format("secondary_shard {} does not divide the {} ranks that hold the same "
                        "parameters",
                        s.secondary_shard, replicas),
            "use a divisor of it, such as the GPUs of a node");
    return s.secondary_shard;
}

}  // namespace

ZeroPlusPlus zero_plus_plus(const Cluster& cluster, const Strategy& s, int replicas) {
    const std::string key = first_used(s);
    if (key.empty()) return {};
    check_use(s, key, replicas);
    ZeroPlusPlus groups;
    groups.secondary = secondary_ranks(cluster, s, replicas);
    if (s.quantized_gradients)
        groups.node_shards = on_a_node(cluster, s, "quantized_gradients", replicas);
    return groups;
}

}  // namespace shardscope
