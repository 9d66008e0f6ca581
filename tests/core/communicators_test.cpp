// Which communicators programs need, and what memory outside the arena is predicted for them.
#include "core/program/communicators.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/program/runtime_memory.h"
#include "tests/support/hand_made.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::ElementsAre;

Plan plan_with_degrees(int ranks, int tp, int pp, int zero, int virtual_stages = 1) {
    Scenario scenario = test::tiny_scenario(test::deep_gpt(), ranks);
    Strategy& strategy = scenario.strategies.front();
    strategy.tp = tp;
    strategy.pp = pp;
    strategy.zero = zero;
    strategy.virtual_stages = virtual_stages;
    scenario.training.micro_batch = 2;
    scenario.training.global_batch = 2 * 4 * ranks / tp / pp;
    return test::lower_tiny(scenario);
}

std::vector<std::string> names(const CommunicatorPlan& plan) {
    std::vector<std::string> names;
    for (const CommunicatorSplit& split : plan.splits) names.push_back(split.name);
    return names;
}

TEST(Communicators, GathersAndReductionsAreApart) {
    const CommunicatorPlan plan = plan_communicators(plan_with_degrees(2, 1, 1, 3).program);
    EXPECT_THAT(names(plan), ElementsAre("dp gather", "dp reduce"));
    EXPECT_THAT(plan.splits[0].members, ElementsAre(ElementsAre(Rank(0), Rank(1))));
    EXPECT_EQ(plan.of_collectives(Stream::reduce, GroupId(0)), 1);
    EXPECT_EQ(plan.of_collectives(Stream::compute, GroupId(0)), -1);
    EXPECT_EQ(plan.splits[0].set_of(Rank(2)), -1);
}

TEST(Communicators, OneRankNeedsNone) {
    EXPECT_TRUE(plan_communicators(plan_with_degrees(1, 1, 1, 0).program).splits.empty());
}

// Whatever the strategy: sets of a split are disjoint, every collective and transfer of every rank has a
// communicator that its partners are in, and a transfer's has the sender first.
TEST(Communicators, EveryInstructionHasOne) {
    for (const auto& [ranks, tp, pp, zero, chunks] : {std::array{4, 1, 1, 2, 1},
                                                      {4, 2, 1, 1, 1},
                                                      {4, 1, 4, 0, 1},
                                                      {3, 1, 3, 0, 2},
                                                      {8, 2, 2, 1, 1},
                                                      {6, 1, 2, 3, 1}}) {
        const Plan plan = plan_with_degrees(ranks, tp, pp, zero, chunks);
        const CommunicatorPlan found = plan_communicators(plan.program);
        for (const CommunicatorSplit& split : found.splits) {
            std::set<Rank> seen;
            for (const auto& members : split.members)
                for (const Rank rank : members) EXPECT_TRUE(seen.insert(rank).second) << split.name;
        }
        for (const RoleProgram& role : plan.program.roles)
            for (const Rank rank : role.ranks)
                for (const Body& body : role.bodies)
                    for (const Instruction& i : body.instructions) {
                        if (const auto* c = std::get_if<Collective>(&i.operation)) {
                            EXPECT_GE(found.of_collectives(i.stream, c->group), 0);
                        }
                        const auto* x = std::get_if<Exchange>(&i.operation);
                        if (x == nullptr) continue;
                        for (const auto& t : x->transfers) {
                            const Rank peer =
                                plan.program.groups[t.group.index()].member(rank, t.peer);
                            const Rank from = t.send ? rank : peer, to = t.send ? peer : rank;
                            const int split = found.of_transfer(from, to, transfer_lane(i.stream));
                            ASSERT_GE(split, 0);
                            const auto& s = found.splits[static_cast<std::size_t>(split)];
                            EXPECT_THAT(s.members[static_cast<std::size_t>(s.set_of(rank))],
                                        ElementsAre(from, to));
                        }
                    }
    }
}

// A ring of three stages needs three rounds per lane: its ends meet.
TEST(Communicators, NeighboursShareNoCommunicator) {
    const CommunicatorPlan plan = plan_communicators(plan_with_degrees(3, 1, 3, 0, 2).program);
    const int a = plan.of_transfer(Rank(0), Rank(1), TransferLane::activations);
    const int b = plan.of_transfer(Rank(1), Rank(2), TransferLane::activations);
    const int c = plan.of_transfer(Rank(2), Rank(0), TransferLane::activations);
    EXPECT_EQ((std::set{a, b, c}.size()), 3u);
    EXPECT_GE(std::min({a, b, c}), 0);
}

TEST(Communicators, ATransferToOneselfIsRefused) {
    test::HandMade p(2);
    const BufferId x = p.buffer("x", 16);
    p.body("body").exchange({{0, true, x}}, Stream::activations_out);
    EXPECT_THROW(plan_communicators(p.program), Error);
}

Bytes communicators(const Cluster& cluster, const Plan& plan, std::size_t role,
                    CommunicatorUse use = CommunicatorUse::per_stream) {
    return predict_runtime(cluster, plan.program, role, use, false).communicators;
}

Cluster nodes_of(const char* name, int gpus_per_node) {
    Cluster cluster = catalogue_cluster(name);
    cluster.gpus_per_node = gpus_per_node;
    return cluster;
}

constexpr std::int64_t kWrite = 12 << 20;  // a channel's: 2 MiB to send from, 10 to receive into

TEST(NcclMemory, WhatIsStatedCountsForEveryRing) {
    const Plan plan = plan_with_degrees(2, 1, 1, 3);
    Cluster cluster = nodes_of("h100-sxm", 2);
    cluster.device.runtime = Bytes(500);
    cluster.device.nccl = NcclMemory{Bytes(7), 24, Bytes(2 << 20), Bytes(10 << 20)};
    const RuntimeMemory memory =
        predict_runtime(cluster, plan.program, 0, CommunicatorUse::per_stream, false);
    EXPECT_EQ(memory.context, Bytes(500));
    EXPECT_EQ(memory.workspace, Bytes(0));
    // All ranks', for gathers and for reductions; the first has no connection but for splits.
    EXPECT_EQ(memory.communicators, Bytes(3 * 7 + 2 * 24 * kWrite));
    EXPECT_EQ(memory.total(), memory.context + memory.communicators);
    cluster.device.nccl = NcclMemory{};
    EXPECT_EQ(communicators(cluster, plan, 0), Bytes(0));
}

TEST(NcclMemory, WhatIsStatedCountsForOneEndOfATransfer) {
    const Plan plan = plan_with_degrees(3, 1, 3, 0);
    Cluster cluster;
    cluster.device.nccl = NcclMemory{Bytes(0), 1, Bytes(1), Bytes(100)};
    // The first stage sends activations and receives gradients; the tied embedding goes both ways.
    EXPECT_EQ(communicators(cluster, plan, 0), Bytes(2 * 1 + 2 * 100));
    EXPECT_EQ(communicators(cluster, plan, 1), Bytes(2 * 1 + 2 * 100));
}

TEST(NcclMemory, OneRankHasNone) {
    const Plan plan = plan_with_degrees(1, 1, 1, 0);
    for (const auto use : {CommunicatorUse::per_stream, CommunicatorUse::per_group})
        EXPECT_EQ(communicators(nodes_of("h100-sxm", 8), plan, 0, use), Bytes(0));
}

// A tensor-parallel group in a node: a ring of as many channels as its NVLinks hold, twice.
TEST(NcclMemory, ARingInANode) {
    const Plan plan = plan_with_degrees(2, 2, 1, 0);
    for (const auto& [name, bytes] : {std::pair{"h100-sxm", 24 * kWrite},
                                      {"a100-80gb", 24 * kWrite},
                                      {"v100-16gb", 12 * kWrite},
                                      {"b200", 16 * kWrite},
                                      {"l40s", 2 * kWrite},
                                      {"mi300x", std::int64_t{0}}})
        EXPECT_EQ(communicators(nodes_of(name, 8), plan, 0), Bytes(bytes)) << name;
    // A link of which nothing is known but its rate.
    Cluster generic = nodes_of("h100-sxm", 8);
    generic.intra_node.type = LinkType::generic;
    EXPECT_EQ(communicators(generic, plan, 0), Bytes(0));
}

// With a rank per node, two channels for the port that it reaches, 10 MiB at each end; gathers and reductions are two
// communicators of ours, one of a product's.
TEST(NcclMemory, ARingAcrossNodes) {
    const Plan plan = plan_with_degrees(2, 1, 1, 3);
    constexpr std::int64_t kRing = 2 * 2 * (10 << 20);
    const Cluster cluster = nodes_of("h100-sxm", 1);
    EXPECT_EQ(communicators(cluster, plan, 0), Bytes(2 * kRing));
    EXPECT_EQ(communicators(cluster, plan, 0, CommunicatorUse::per_group), Bytes(kRing));
    // Sockets have their buffers in the host's memory.
    EXPECT_EQ(communicators(nodes_of("l40s", 1), plan, 0), Bytes(0));
    // Two nodes of two: of four channels two leave by a rank, and it passes the others on.
    EXPECT_EQ(communicators(nodes_of("h100-sxm", 2), plan_with_degrees(4, 1, 1, 3), 0),
              Bytes(2 * (kRing + 2 * kWrite)));
}

// A stage's neighbours, in a node over 32 channels, on A100 6 MiB at either end; across nodes chunks of 2 MiB for each of
// two channels. The first of two stages sends activations, and its part of the embedding's gradients in the lane that it
// receives gradients in.
TEST(NcclMemory, TransfersTakeOneEnd) {
    const Plan plan = plan_with_degrees(2, 1, 2, 0);
    EXPECT_EQ(communicators(nodes_of("h100-sxm", 8), plan, 0), Bytes(32 * (2 * 2 + 10) << 20));
    EXPECT_EQ(communicators(nodes_of("h100-sxm", 8), plan, 0, CommunicatorUse::per_group),
              Bytes(32 * kWrite));
    EXPECT_EQ(communicators(nodes_of("a100-80gb", 8), plan, 0, CommunicatorUse::per_group),
              Bytes(32 * kWrite));
    EXPECT_EQ(communicators(nodes_of("v100-16gb", 8), plan, 0, CommunicatorUse::per_group),
              Bytes(2 * kWrite));
    EXPECT_EQ(communicators(nodes_of("h100-sxm", 1), plan, 0), Bytes(3 * 2 * (2 << 20)));
    EXPECT_EQ(communicators(nodes_of("h100-sxm", 1), plan, 0, CommunicatorUse::per_group),
              Bytes(2 * 2 * (2 << 20)));
    const Cluster cluster = catalogue_cluster("a100-80gb");
    const NcclBuffers a100(cluster);
    EXPECT_EQ(a100.send_inside({2, 1, 2, 2}), Bytes(32 * (6 << 20)));
    EXPECT_EQ(a100.receive_inside({2, 1, 2, 2}), Bytes(32 * (6 << 20)));
}

// nccl issue 1685: on eight H100s an all-to-all takes 12 MiB for each of 32 channels and 7 peers.
TEST(NcclMemory, AnAllToAllHasEveryPeer) {
    const Cluster cluster = catalogue_cluster("h100-sxm");
    const NcclBuffers buffers(cluster);
    EXPECT_EQ(buffers.all_to_all({8, 1, 8, 8}), Bytes(7 * 32 * kWrite));
    // On two nodes two channels to each, and both pools, of 16 channels.
    EXPECT_EQ(buffers.all_to_all({16, 2, 8, 8}), Bytes(7 * 2 * kWrite + 2 * 16 * (2 << 20)));
}

// Process groups that no step uses are a product's, where it has several ranks.
TEST(NcclMemory, OnlyOneOfSeveralProcessesHasProcessGroups) {
    for (const int ranks : {1, 2}) {
        Scenario scenario = test::tiny_scenario(test::deep_gpt(), ranks);
        scenario.cluster = nodes_of("h100-sxm", ranks);
        scenario.strategies.front().profile = RuntimeProfile::megatron;
        const Bytes held = test::lower_tiny(scenario).memory[0].runtime_parts.communicators;
        const Bytes groups = fitted_constants(RuntimeProfile::megatron).process;
        EXPECT_EQ(held, ranks == 1 ? Bytes(0) : groups + Bytes(24 * kWrite)) << ranks;
    }
}

TEST(RuntimeMemory, WorkspacesAndSamples) {
    const Plan plan =
        plan_with_degrees(2, 1, 1, 0);  // 4 micro-batches of 2 samples, 16 tokens each
    EXPECT_EQ(staged_samples(plan.program.roles[0]), Bytes(2 * 4 * (256 + 256)));
    Cluster cluster;
    cluster.device.workspace = Bytes(1000);
    const auto predicted = [&](bool cudnn) {
        return predict_runtime(cluster, plan.program, 0, CommunicatorUse::per_stream, cudnn);
    };
    EXPECT_EQ(predicted(false).workspace.value % 1000, (2 * 4 * 512) % 1000);
    EXPECT_EQ(predicted(false).communicators, Bytes(0));
    // 2 samples, 4 heads, 16 queries: 6 elements and a sum each, in fp32.
    EXPECT_EQ(predicted(true).workspace - predicted(false).workspace,
              Bytes(2 * 4 * 16 * (6 + 1) * 4));
}

TEST(RuntimeMemory, HeadsThatShareKeysNeedMoreOfCudnn) {
    AttentionGrad attention;
    attention.samples = 2, attention.seq = 8, attention.heads = 4, attention.kv_heads = 2;
    attention.head_dim = 64;
    EXPECT_EQ(cudnn_workspace(attention), Bytes(2 * 8 * 4 * (64 * 4 + 4 + 2 * 64 * 2)));
}

}  // namespace
}  // namespace shardscope
