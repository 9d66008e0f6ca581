// How long tokens take to experts and back by each dispatcher: bytes on the links against walked rows, bounds, what
// shared experts hide.
#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/scenario_io.h"
#include "simulator/collective_cost.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

Scenario travelling(const std::string& strategy, const std::string& cluster = "nodes: 2",
                    const std::string& experts = "count: 64, per_token: 8, ffn: 1408") {
    return parse_scenario(
        "model: {transformer: {layers: 2, hidden: 2048, heads: 16, ffn: 5632, vocab: 32000, seq: "
        "2048, experts: {" +
            experts + "}}}\ntraining: {global_batch: 64, micro_batch: 2, precision: bf16}\n" +
            "cluster: {gpu: h100-sxm, " + cluster + "}\nstrategies: [{name: x, " + strategy +
            "}]\n",
        "dispatch.yaml", {});
}

StepTime dispatched_step(const Scenario& s) {
    const Plan plan = lower(s, std::make_shared<const Model>(build_model(s.model)), s.strategies[0],
                            ExecutionTarget::of(s.cluster.device));
    return EventRunner().run(s, plan, {}).ranks[0].steps[0];
}

GroupShape dispatch_shape(const Cluster& cluster, int size) {
    GroupShape shape = shape_of({"ep", size, 1}, Rank(0), cluster);
    return shape;
}

// Rows of random tokens, each walked over its links: to another node once, to the rank in the same place, and from
// there or at home to every rank with one of its experts.
TEST(DispatchTimeSlow, BytesOnTheLinksAreThoseOfWalkedRows) {
    const std::uint32_t seed = 8128;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const Cluster cluster = travelling("ep: 8", "nodes: 4").cluster;
    for (const int copies : {1, 2})
        for (const int size : {4, 8, 16, 32}) {
            const TokenRouting routing{64, 6, 8, 4, 1, copies};
            const GroupShape at = dispatch_shape(cluster, size);
            const int per_node = at.per_node, sharing = size / copies;
            double inside = 0, across = 0;
            std::int64_t arrived = 0;
            constexpr int kTokens = 3000;
            for (int sender = 0; sender < size; ++sender)
                for (int token = 0; token < kTokens; ++token) {
                    std::vector<int> groups{0, 1, 2, 3, 4, 5, 6, 7};
                    std::ranges::shuffle(groups, random);
                    std::vector<int> open, chosen;
                    for (int g = 0; g < 4; ++g)
                        for (int e = 0; e < 8; ++e) open.push_back(groups[g] * 8 + e);
                    std::ranges::sample(open, std::back_inserter(chosen), 6, random);
                    std::set<int> ranks, nodes;
                    for (const int expert : chosen)
                        for (int copy = 0; copy < copies; ++copy)
                            ranks.insert(expert / (64 / sharing) * copies + copy);
                    arrived += std::ssize(ranks);
                    for (const int rank : ranks) {
                        nodes.insert(rank / per_node);
                        if (rank % per_node != sender % per_node) ++inside;
                    }
                    nodes.erase(sender / per_node);
                    across += static_cast<double>(nodes.size());
                }
            const double all = 1.0 * size * kTokens;
            const LinkTraffic traffic = link_traffic(routing, kTokens, at);
            EXPECT_NEAR(traffic.intra / all, inside / all, 0.02 * inside / all) << size;
            EXPECT_NEAR(traffic.inter / all, across / all, 0.02 * across / all + 1e-12) << size;
            const double mean = static_cast<double>(arrived) / all;
            EXPECT_NEAR(size * routing.reach(sharing), mean, 0.02 * mean) << size;
        }
}

// Of k rows per token an all-to-all sends, across the network and within a node, DeepEP never sends more.
TEST(DispatchTime, NeverMoreBytesThanARowPerExpert) {
    const Cluster cluster = travelling("ep: 8", "nodes: 16").cluster;
    for (const std::int64_t k : {1, 2, 4, 8, 32})
        for (const int size : {2, 8, 16, 64, 128})
            for (const TokenRouting& routing : {TokenRouting{128, k},
                                                {128, k, 8, 4},
                                                {128, std::min<std::int64_t>(k, 16), 8, 1}}) {
                const GroupShape at = dispatch_shape(cluster, size);
                const auto rows = static_cast<double>(routing.per_token);
                const LinkTraffic once = link_traffic(routing, 1, at);
                const LinkTraffic places =
                    link_traffic(CostKind::all_to_all, Algorithm::ring, rows, at);
                const double tiny = 1e-9 * (places.intra + places.inter);
                EXPECT_LE(once.inter, places.inter + tiny) << k << " of 128 over " << size;
                EXPECT_LE(size * routing.reach(size), rows + tiny);
                if (at.nodes > 1) continue;  // what has crossed goes over NVLink as well
                EXPECT_LE(once.intra, places.intra + tiny) << k << " of 128 over " << size;
            }
}

// The slower of the network and NVLink, by the rates of the links.
TEST(DispatchTime, TheSlowerLinkCounts) {
    const Cluster cluster = travelling("ep: 8", "nodes: 4").cluster;
    const NcclModel links(cluster);
    const TokenRouting routing{64, 8};
    const double bytes = 1e9, far = 1e11;  // the start does not count, the ramp ends
    const auto rate = [&](int size) {
        const GroupShape at = dispatch_shape(cluster, size);
        return (far - bytes) / (links.exchange(routing, far, at).seconds -
                                links.exchange(routing, bytes, at).seconds);
    };
    const auto reach = [&](int parts) { return routing.reach(parts); };
    const double nvlink = links.device_bandwidth(), ports = links.node_bandwidth() / 8;
    EXPECT_NEAR(rate(8), nvlink / (7 * reach(8)), 0.01 * rate(8));
    const double across = 3 * reach(4) / ports, inside = (32 - 4) * reach(32) / nvlink;
    EXPECT_GT(across, inside) << "three of four nodes over the network";
    EXPECT_NEAR(rate(32), 1 / across, 0.01 * rate(32));
}

TEST(DispatchTime, MoreBytesNeverFasterMoreBandwidthNeverSlower) {
    const std::uint32_t seed = 33;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 500; ++round) {
        Cluster cluster = travelling("ep: 8", "nodes: 16").cluster;
        if (random() % 3 == 0) {
            cluster.intra_node.type = LinkType::generic;
            cluster.inter_node.type = LinkType::generic;
        }
        const TokenRouting routing{128, 1 + static_cast<std::int64_t>(random() % 8), 8,
                                   1 + static_cast<std::int64_t>(random() % 8)};
        const GroupShape at = dispatch_shape(cluster, 2 << (random() % 6));
        Collective c;
        c.kind = CollectiveKind::dispatch;
        c.routing = routing;
        c.elements = std::int64_t{1} << (random() % 30);
        const auto seconds = [&](const Cluster& on, const Collective& what) {
            return CollectiveCost(on).timed(what, at).seconds.value;
        };
        const double time = seconds(cluster, c), tiny = 1e-12 * time;
        EXPECT_GT(time, 0);
        Collective more = c;
        more.elements += c.elements / 3 + 1;
        EXPECT_GE(seconds(cluster, more), time - tiny);
        Cluster wide = cluster, wider = cluster;
        wide.intra_node.bandwidth.value *= 1.4;
        wider.inter_node.bandwidth.value *= 1.4;
        EXPECT_LE(seconds(wide, c), time + tiny);
        EXPECT_LE(seconds(wider, c), time + tiny);
        Collective heavier = c;
        heavier.routing.load = 1.3;
        EXPECT_GE(seconds(cluster, heavier), time - tiny);
    }
}

double dispatched_wall(const std::string& strategy,
                       const std::string& experts = "count: 64, per_token: 8, ffn: 1408") {
    return dispatched_step(travelling(strategy, "nodes: 4", experts)).wall.value;
}

// Eight experts of a token on 4 nodes: one row to a node instead of eight.
TEST(DispatchTime, DeepEpIsFasterAcrossNodes) {
    const double usual = dispatched_wall("ep: 32"),
                 once = dispatched_wall("ep: 32, dispatcher: deepep");
    EXPECT_LT(once, 0.8 * usual);
    const double narrow = dispatched_wall("ep: 32, dispatcher: deepep, dispatch_precision: fp8");
    EXPECT_LT(narrow, once);
    EXPECT_LT(dispatched_wall("ep: 32, dispatch_precision: fp8"), usual);
    const double limited = dispatched_wall("ep: 32, dispatcher: deepep",
                                           "count: 64, per_token: 8, ffn: 1408, groups: 4, "
                                           "groups_per_token: 2");
    EXPECT_LT(limited, once) << "two of four nodes";
    EXPECT_EQ(dispatched_wall("ep: 32",
                              "count: 64, per_token: 8, ffn: 1408, groups: 4, groups_per_token: 2"),
              usual)
        << "a row per expert goes wherever it is";
}

// Of two experts per token and 32 ranks, all-gathers bring sixteen times as many rows.
TEST(DispatchTime, AllGatherPaysForTheRowsOfOthers) {
    const std::string two = "count: 64, per_token: 2, ffn: 1408";
    EXPECT_GT(dispatched_wall("ep: 32, dispatcher: allgather", two),
              dispatched_wall("ep: 32", two));
}

// Communication-bound: on a slow network shared experts hide behind it, or it behind them. Never slower.
TEST(DispatchTime, SharedExpertsHideWhatTravels) {
    const std::string shared = "count: 64, per_token: 8, ffn: 1408, shared_ffn: 5632";
    for (const char* strategy :
         {"ep: 32", "ep: 32, dispatcher: allgather", "ep: 32, dispatcher: deepep",
          "ep: 32, dispatcher: deepep, dispatch_precision: fp8", "ep: 8, recompute: full",
          "ep: 16, tp: 2, sequence_parallel: true", "ep: 8, pp: 2, schedule: zb-h1",
          "ep: 32, profile: megatron", "ep: 32, zero: 3"}) {
        const double usual = dispatched_wall(strategy, shared);
        const double beside =
            dispatched_wall(std::string(strategy) + ", overlap_shared_experts: true", shared);
        EXPECT_LE(beside, usual) << strategy;
        if (std::string(strategy) == "ep: 32") {
            EXPECT_LT(beside, 0.95 * usual);
        }
    }
}

TEST(DispatchTime, PartsSumToTheStep) {
    for (const char* strategy :
         {"ep: 16, dispatcher: allgather, overlap_shared_experts: true",
          "ep: 16, dispatcher: deepep, overlap_shared_experts: true, dispatch_precision: fp8"}) {
        const StepTime time = dispatched_step(travelling(
            strategy, "nodes: 2", "count: 64, per_token: 8, ffn: 1408, shared_ffn: 1408"));
        const Seconds sum =
            time.compute + time.exposed_communication + time.bubble + time.optimizer;
        EXPECT_NEAR(sum.value, time.wall.value, 1e-9 * time.wall.value) << strategy;
    }
}

}  // namespace
}  // namespace shardscope
