// Every rank simulated by itself: the same as one rank per role while all run alike, and what jitter and
// stragglers do when they do not.
#include <cmath>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/evaluate.h"
#include "core/scenario_io.h"
#include "simulator/channels.h"
#include "simulator/disturbed_steps.h"
#include "simulator/event_engine.h"
#include "simulator/log_normal.h"
#include "tests/simulator/first_strategy.h"

namespace shardscope {
namespace {

using test::first_plan;
using ::testing::HasSubstr;

// `nodes` nodes of eight GPUs; twelve heads, so that tp may be 6.
Scenario scenario_with(const std::string& strategy, int nodes, int global_batch = 48,
                       const char* gpu = "h100-sxm", int seq = 384) {
    return parse_scenario(
        fmt::format("name: s\n"
                    "model: {{gpt: {{layers: 6, hidden: 768, heads: 12, vocab: 6144, seq: {}}}}}\n"
                    "training: {{global_batch: {}, micro_batch: 1, precision: bf16, clip: 1.0}}\n"
                    "cluster: {{gpu: {}, nodes: {}, gpus_per_node: 8}}\n"
                    "strategies: [{}]\n",
                    seq, global_batch, gpu, nodes, strategy),
        "", {});
}

struct Walls {
    double roles = 0, ranks = 0;  // seconds, of the slowest
};

Walls walls_of(const Scenario& scenario) {
    const Plan plan = first_plan(scenario);
    const auto slowest = [&](bool separate) {
        const LaneProgram program =
            prepare(plan.program, scenario.cluster, false, plan.strategy.profile, separate);
        if (separate) {
            EXPECT_EQ(program.roles.size(), static_cast<std::size_t>(plan.layout.world));
        }
        double wall = 0;
        for (const RoleTimeline& rank : simulate_step(program, scenario.cluster))
            wall = std::max(wall, rank.time.wall.value);
        return wall;
    };
    return {slowest(false), slowest(true)};
}

// Whole groups on a node, or one rank of each group per node: all ranks of a role are alike, and only the
// order of additions may differ.
TEST(Symmetry, OneRankPerRoleIsAllRanks) {
    for (const char* strategy : {"{dp: 8}",
                                 "{zero: 1}",
                                 "{zero: 2}",
                                 "{zero: 3}",
                                 "{tp: 4}",
                                 "{tp: 2, pp: 2, sequence_parallel: true}",
                                 "{pp: 4, schedule: zb-h1}",
                                 "{tp: 2, pp: 4, schedule: gpipe}",
                                 "{pp: 2, virtual_stages: 3}",
                                 "{pp: 2, schedule: zb-v}",
                                 "{tp: 4, zero: 3, profile: megatron}",
                                 "{zero: 3, profile: fsdp}",
                                 "{zero: 2, overlap_gather: true}",
                                 "{zero: 1, overlap_reduce: false}",
                                 "{tp: 4, tp_overlap: gradients}",
                                 "{tp: 4, sequence_parallel: true, tp_overlap: pieces}",
                                 "{cp: 2}",
                                 "{cp: 4, cp_kind: ulysses}",
                                 "{zero: 3, shard_group: 4}",
                                 "{zero: 3, quantized_weights: true, quantized_gradients: true}",
                                 "{zero: 3, secondary_shard: 4}",
                                 "{zero: 2, offload: {optimizer: cpu}}",
                                 "{zero: 3, recompute: full, offload: {optimizer: nvme, "
                                 "parameters: cpu, activations: cpu}}"})
        for (const int nodes : {1, 2, 4}) {
            Scenario scenario = scenario_with(strategy, nodes, 64);
            if (scenario.strategies[0].dp && nodes > 1) continue;
            const Walls walls = walls_of(scenario);
            EXPECT_NEAR(walls.ranks, walls.roles, 1e-6 * walls.roles)
                << strategy << " on " << nodes << " nodes";
        }
}

// Experts over data-parallel ranks alone, and over tensor-parallel ones too, within nodes and beyond them.
TEST(Symmetry, SoAreRanksThatShareExperts) {
    for (const char* degrees :
         {"tp: 2, ep: 4", "tp: 2, etp: 1, ep: 8", "tp: 4, etp: 1, ep: 2",
          "tp: 4, etp: 2, ep: 4, zero: 1", "tp: 2, pp: 2, etp: 1, ep: 8",
          "tp: 2, ep: 4, dispatcher: deepep", "tp: 2, etp: 1, ep: 8, dispatcher: allgather",
          "tp: 2, pp: 2, etp: 1, ep: 8, dispatcher: deepep, "
          "dispatch_precision: fp8, overlap_shared_experts: true",
          "tp: 2, ep: 2, zero: 3, shard_group: 4", "tp: 2, ep: 4, zero: 2, shard_group: 4",
          "tp: 2, etp: 1, ep: 4, zero: 1, shard_group: 2"})
        for (const int nodes : {1, 2, 4}) {
            const Scenario scenario = parse_scenario(
                fmt::format("name: s\n"
                            "model: {{transformer: {{layers: 4, hidden: 512, heads: 8, ffn: 2048, "
                            "vocab: 4096, seq: 256, experts: {{count: 16, per_token: 2, ffn: 768, "
                            "shared_ffn: "
                            "512}}}}}}\n"
                            "training: {{global_batch: 64, micro_batch: 1, precision: bf16}}\n"
                            "cluster: {{gpu: h100-sxm, nodes: {}, gpus_per_node: 8}}\n"
                            "strategies: [{{sequence_parallel: true, {}}}]\n",
                            nodes, degrees),
                "", {});
            if (nodes == 1 && std::string(degrees).find("pp") != std::string::npos) continue;
            const Walls walls = walls_of(scenario);
            EXPECT_NEAR(walls.ranks, walls.roles, 1e-6 * walls.roles)
                << degrees << " on " << nodes << " nodes";
        }
}

// Groups that lie on one node or on two: a role counts as its farthest group, for which the others wait at
// the latest where data parallelism joins them. Not exact: that a group inside a node is done earlier may
// move what shares links with it.
TEST(Symmetry, StraddlingGroupsWaitForTheFarthest) {
    for (const char* strategy :
         {"{tp: 6}", "{tp: 6, sequence_parallel: true}", "{tp: 6, zero: 1}", "{tp: 3}",
          "{tp: 6, pp: 2}", "{tp: 3, pp: 2, zero: 1}", "{tp: 6, zero: 3}"}) {
        const Walls walls = walls_of(scenario_with(strategy, 3));
        EXPECT_LE(walls.ranks, walls.roles * (1 + 1e-6)) << strategy;
        EXPECT_GE(walls.ranks, walls.roles * 0.97) << strategy;
    }
}

// So up to 64 ranks, where groups or stages lie unevenly on nodes, a step is simulated rank by rank, and a role takes
// what its slowest rank does.
TEST(Symmetry, UnevenLayoutsAreSimulatedRankByRank) {
    for (const char* strategy : {"{tp: 6}", "{tp: 3, pp: 2, zero: 3}", "{tp: 4, pp: 2, zero: 3}",
                                 "{tp: 6, pp: 2, zero: 3}", "{tp: 2, pp: 2, zero: 2}",
                                 "{tp: 6, zero: 3, profile: megatron}"}) {
        const Scenario scenario = scenario_with(strategy, 3, 48, "h100-sxm", 2048);
        const Plan plan = first_plan(scenario);
        const auto timelines =
            simulate_step(plan.program, scenario.cluster, false, plan.strategy.profile);
        ASSERT_EQ(timelines.size(), plan.program.roles.size()) << strategy;
        double wall = 0;
        for (const RoleTimeline& role : timelines) wall = std::max(wall, role.time.wall.value);
        EXPECT_DOUBLE_EQ(wall, walls_of(scenario).ranks) << strategy;
    }
    // By roles alone stages that share a node would not meet on its links.
    const Walls walls = walls_of(scenario_with("{tp: 3, pp: 2, zero: 3}", 3, 48, "h100-sxm", 2048));
    EXPECT_GT(std::abs(walls.ranks / walls.roles - 1), 1e-3);
}

// What the links of all ranks and nodes carry of one collective is what its algorithm moves: of a ring of
// n ranks on N nodes n − N edges inside nodes and N between them, each (n − 1)/n of the buffer.
TEST(Conservation, LinksCarryWhatCollectivesMove) {
    const unsigned seed = 20260101;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    int rings = 0;
    for (int trial = 0; trial < 60; ++trial) {
        const int nodes = 1 + static_cast<int>(random() % 4);
        const char* strategy = (random() % 2) != 0 ? "{zero: 3}" : "{tp: 2, pp: 2}";
        const Scenario scenario = scenario_with(strategy, nodes, 192, "a100-80gb");  // no NVLS
        const Plan plan = first_plan(scenario);
        const Cluster& cluster = scenario.cluster;
        const CollectiveCost cost(cluster);
        Channels channels(plan.program, cluster, lock_steps(plan.program, true), 0);
        const GroupId group(trial % 2 == 0 ? kDataGroup : kTensorGroup);
        const Group& ranks = plan.program.groups[group.index()];
        if (ranks.size == 1) continue;
        Collective collective;
        collective.kind = static_cast<CollectiveKind>(random() % 3);
        collective.group = group;
        collective.elements = std::int64_t{ranks.size} << (18 + random() % 6);
        const Rank first(0);
        const GroupShape shape = shape_of(ranks, first, cluster);
        double inside = 0;
        std::map<std::int32_t, double> ports;
        CollectiveTime timed{Seconds(0), std::nullopt};
        for (int i = 0; i < ranks.size; ++i) {
            const Rank member = ranks.member(first, i);
            std::size_t number = 0;  // as lock_steps counts: by role, then by rank
            for (const LockStep& step : lock_steps(plan.program, true)) {
                if (step.ranks.front() == member) break;
                ++number;
            }
            const Channels::Part part = channels.collective(number, Stream::reduce, collective);
            GroupShape at_once = shape;
            if (shape.nodes > 1)
                at_once.at_once = ranks.stride;  // one set per tensor-parallel index
            timed = cost.timed(cost_kind(collective.kind), collective.bytes(), at_once);
            for (const LinkUse& use : part.load.uses) {
                if (use.link % 2 != 0) continue;  // the other direction carries the same
                ASSERT_LT(use.share, 1);
                const bool device = use.link < 2 * plan.layout.world;
                if (device)
                    inside += use.share * part.seconds * cost.links().device_bandwidth();
                else
                    ports[use.link] = use.share * part.seconds * cost.links().node_bandwidth();
            }
        }
        double outside = 0;
        for (const auto& [link, bytes] : ports) outside += bytes;
        ASSERT_TRUE(timed.algorithm);
        const double n = ranks.size, rounds = collective.kind == CollectiveKind::all_reduce ? 2 : 1;
        if (*timed.algorithm != Algorithm::ring && *timed.algorithm != Algorithm::pat) continue;
        ++rings;
        const double edge = rounds * (n - 1) / n * static_cast<double>(collective.bytes().value);
        const double out = shape.nodes > 1 ? shape.nodes : 0;
        EXPECT_NEAR(inside, (n - out) * edge, 1e-6 * (n * edge)) << trial;
        EXPECT_NEAR(outside, out * edge, 1e-6 * (n * edge)) << trial;
    }
    EXPECT_GT(rings, 10);
}

// Of a dispatch what goes over each device's links and each node's ports sums to the rows that are sent once: to a node,
// and to a rank.
TEST(Conservation, LinksCarryWhatDispatchesMove) {
    for (const int nodes : {1, 2, 4}) {
        const Scenario scenario = scenario_with("{zero: 1}", nodes, 192);
        const Plan plan = first_plan(scenario);
        const Cluster& cluster = scenario.cluster;
        const CollectiveCost cost(cluster);
        Channels channels(plan.program, cluster, lock_steps(plan.program, true), 0);
        const Group& ranks = plan.program.groups[kDataGroup];
        Collective dispatch;
        dispatch.kind = CollectiveKind::dispatch;
        dispatch.group = GroupId(kDataGroup);
        dispatch.routing = {64, 8, 8, 4};
        dispatch.width = 1024;
        dispatch.elements = std::int64_t{1} << 24;
        dispatch.along = {{std::int64_t{1} << 17, DType::int32, {}, {}}};
        double inside = 0;
        std::map<std::int32_t, double> ports;
        for (int i = 0; i < ranks.size; ++i) {
            const Channels::Part part =
                channels.collective(static_cast<std::size_t>(i), Stream::compute, dispatch);
            EXPECT_EQ(part.load.channels, kDeepEpMultiprocessors);
            for (const LinkUse& use : part.load.uses) {
                if (use.link % 2 != 0) continue;  // the other direction carries the same
                if (use.link < 2 * plan.layout.world)
                    inside += use.share * part.seconds * cost.links().device_bandwidth();
                else
                    ports[use.link] = use.share * part.seconds * cost.links().node_bandwidth();
            }
        }
        double outside = 0;
        for (const auto& [link, bytes] : ports) outside += bytes;
        const double n = ranks.size;
        const auto rows = static_cast<double>(dispatch.bytes().value);
        EXPECT_EQ(dispatch.bytes().value, 4 * ((1 << 24) + (1 << 17)));
        const double between = nodes > 1 ? (nodes - 1) * dispatch.routing.reach(nodes) : 0;
        EXPECT_NEAR(outside, n * rows * between, 1e-6 * n * rows) << nodes;
        EXPECT_NEAR(inside, n * rows * (n - nodes) * dispatch.routing.reach(ranks.size),
                    1e-6 * n * rows)
            << nodes;
    }
}

// Whole strategies on random clusters: a better link or fewer bytes never make the step longer.
TEST(MonotoneSteps, MoreBandwidthIsNeverSlowerAndFewerBytesNeverLonger) {
    const unsigned seed = 7;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const char* strategies[] = {"{zero: 1}", "{zero: 3}", "{tp: 4}", "{tp: 2, pp: 2, zero: 1}",
                                "{pp: 4}", "{tp: 2, pp: 2, virtual_stages: 3}", "{tp: 4, pp: 4}",
                                "{zero: 2, bucket: 1MiB}", "{pp: 2, schedule: zb-v}",
                                "{zero: 2, overlap_gather: true}",
                                "{tp: 4, sequence_parallel: true, tp_overlap: pieces}", "{cp: 2}",
                                "{cp: 4, cp_kind: ulysses}", "{zero: 3, shard_group: 8}",
                                "{zero: 3, quantized_weights: true, quantized_gradients: true}",
                                "{zero: 3, secondary_shard: 8}",
                                // All three in host memory.
                                R"({zero: 3, recompute: full,
                                    offload: {optimizer: cpu, parameters: cpu, activations: cpu}})"};
    for (const char* strategy : strategies) {
        Scenario scenario = scenario_with(strategy, 2, 64);
        std::uniform_real_distribution<double> magnitude(-1.5, 1.0);
        scenario.cluster.inter_node.bandwidth.value *= std::pow(10, magnitude(random));
        scenario.cluster.intra_node.bandwidth.value *= std::pow(10, magnitude(random));
        const Plan plan = first_plan(scenario);
        double last = 1e300;
        for (const double factor : {0.3, 0.6, 1.0, 1.7, 4.0}) {
            Cluster cluster = scenario.cluster;
            cluster.inter_node.bandwidth.value *= factor;
            cluster.intra_node.bandwidth.value *= factor;
            const double wall = simulate_step(plan.program, cluster)[0].time.wall.value;
            // What is issued together may end in another order; that is worth less than a part in 1000.
            EXPECT_LE(wall, last * 1.001) << strategy << ", factor " << factor;
            last = wall;
        }
        last = 0;
        for (const int seq : {64, 128, 512, 1024}) {
            const Scenario longer = scenario_with(strategy, 2, 64, "h100-sxm", seq);
            const double wall =
                simulate_step(first_plan(longer).program, scenario.cluster)[0].time.wall.value;
            EXPECT_GE(wall, last * 0.999) << strategy << ", seq " << seq;
            last = wall;
        }
    }
}

StepVariation varied(const std::string& strategy, Disturbance disturbance, int steps = 40) {
    const Scenario scenario = scenario_with(strategy, 1, 64);
    return simulate_disturbed(scenario, first_plan(scenario), disturbance, steps);
}

double undisturbed(const std::string& strategy) {
    return walls_of(scenario_with(strategy, 1, 64)).roles;
}

TEST(Disturbed, NothingIsTheUndisturbedStep) {
    const StepVariation none = varied("{zero: 1}", {});
    EXPECT_NEAR(none.mean.value, undisturbed("{zero: 1}"), 1e-9);
    EXPECT_EQ(none.p5, none.p95);
}

TEST(Disturbed, AStragglerHoldsUpAll) {
    for (const char* strategy : {"{zero: 1}", "{tp: 4}", "{pp: 4}"}) {
        Disturbance slow;
        slow.stragglers = {{Rank(3), 3.0}};
        const double alike = undisturbed(strategy);
        const double time = varied(strategy, slow, 1).mean.value;
        EXPECT_GT(time, 1.2 * alike) << strategy;
        EXPECT_LT(time, 3 * alike + 1e-9) << strategy;
        slow.stragglers[0].factor = 0.5;  // a fast rank waits for the others
        EXPECT_LE(varied(strategy, slow, 1).mean.value, alike * (1 + 1e-9)) << strategy;
    }
}

// The slowest of several ranks is slower than a rank on average, and more so with more jitter.
TEST(Disturbed, JitterCostsTime) {
    double last = undisturbed("{zero: 1}");
    for (const double jitter : {0.05, 0.2, 0.5}) {
        Disturbance noise;
        noise.rank_jitter = jitter;
        const StepVariation variation = varied("{zero: 1}", noise);
        EXPECT_GT(variation.mean.value, last);
        EXPECT_LT(variation.p5, variation.p50);
        EXPECT_LT(variation.p50, variation.p95);
        last = variation.mean.value;
    }
    Disturbance kernels;
    kernels.kernel_jitter = 0.3;
    EXPECT_GT(varied("{tp: 4}", kernels).mean.value, undisturbed("{tp: 4}"));
}

TEST(Disturbed, SameSeedSameSteps) {
    Disturbance noise;
    noise.kernel_jitter = 0.1;
    noise.rank_jitter = 0.1;
    const StepVariation first = varied("{zero: 2}", noise, 5);
    EXPECT_EQ(varied("{zero: 2}", noise, 5), first);
    const Scenario scenario = scenario_with("{zero: 2}", 1, 64);
    std::vector<int> done;
    const auto count = [&](int steps) { done.push_back(steps); };
    EXPECT_EQ(simulate_disturbed(scenario, first_plan(scenario), noise, 5, 3, count), first);
    EXPECT_EQ(done, (std::vector{1, 2, 3, 4, 5}));
    noise.seed = 2;
    EXPECT_NE(varied("{zero: 2}", noise, 5).mean, first.mean);
}

// The slowest of 256 ranks is slower than that of 8: 2.8 instead of 1.4 deviations above the mean, of the same
// kernels.
TEST(Disturbed, HundredsOfRanksAreSimulatedOneByOne) {
    EXPECT_EQ(usual_disturbed_steps(8), 100);
    EXPECT_EQ(usual_disturbed_steps(128), 50);
    EXPECT_EQ(usual_disturbed_steps(1024), 10);
    Disturbance noise;
    noise.rank_jitter = 0.1;
    const auto longer = [&](int nodes) {
        const Scenario scenario = scenario_with("{dp: " + std::to_string(8 * nodes) + "}", nodes,
                                                64 * nodes, "h100-sxm", 2048);
        const Plan plan = first_plan(scenario);
        const double alike = simulate_step(plan.program, scenario.cluster)[0].time.wall.value;
        return simulate_disturbed(scenario, plan, noise, 4).mean.value - alike;
    };
    EXPECT_GT(longer(32), 1.3 * longer(1));
}

// One rank alone computes all the time, however slow it is.
TEST(Disturbed, AStragglerThatComputesIsBusy) {
    const Scenario scenario = scenario_with("{ranks: 1}", 1, 8);
    Disturbance slow;
    slow.stragglers = {{Rank(0), 2.0}};
    const Plan plan = first_plan(scenario);
    const StepTime alike = simulate_step(plan.program, scenario.cluster)[0].time;
    const StepVariation varied = simulate_disturbed(scenario, plan, slow, 1);
    EXPECT_NEAR(varied.busy / varied.mean, alike.busy() / alike.wall, 0.02)
        << "launches are not slower";
    EXPECT_GT(varied.mean / alike.wall, 1.9);
}

TEST(Disturbed, WhatCannotBeSaysWhy) {
    const auto error = [](const Scenario& scenario, int rank) -> std::string {
        Disturbance slow;
        slow.stragglers = {{Rank(rank), 2.0}};
        try {
            simulate_disturbed(scenario, first_plan(scenario), slow, 1);
        } catch (const Error& e) {
            return e.what();
        }
        return "none";
    };
    EXPECT_THAT(error(scenario_with("{zero: 1}", 129, 1032), 0),
                HasSubstr("1032 ranks, at most 1024"));
    EXPECT_THAT(error(scenario_with("{zero: 1}", 1, 64), 8), HasSubstr("no rank 8"));
}

// 20,000 draws: standard errors of mean and deviation are below 0.5 % of the deviation's 0.3.
TEST(LogNormal, HasTheMeanAndDeviationAskedFor) {
    double sum = 0, squares = 0;
    const int draws = 20'000;
    for (int i = 0; i < draws; ++i) {
        const double x = log_normal(5, 1, static_cast<std::uint64_t>(i), 0.3);
        EXPECT_GT(x, 0);
        sum += x;
        squares += x * x;
    }
    const double mean = sum / draws;
    EXPECT_NEAR(mean, 1, 0.01);
    EXPECT_NEAR(std::sqrt(squares / draws - mean * mean), 0.3, 0.01);
    EXPECT_EQ(log_normal(5, 1, 2, 0), 1);
}

}  // namespace
}  // namespace shardscope
