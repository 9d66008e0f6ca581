// Which communicators programs need, and what memory outside the arena is predicted for them.
#include "core/program/communicators.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// NCCL 2.28 on eight H100s: 24 channels, each with 10 MiB to receive into and 2 MiB to send from.
TEST(RuntimeMemory, RingsHaveOneNeighbourEachWay) {
    const Plan plan = plan_with_degrees(2, 1, 1, 3);
    Device device;
    device.runtime = Bytes(500);
    device.nccl = {Bytes(7), 24, Bytes(2 << 20), Bytes(10 << 20)};
    const RuntimeMemory memory = predict_runtime(device, plan.program, 0, false);
    EXPECT_EQ(memory.context, Bytes(500));
    EXPECT_EQ(memory.workspace, Bytes(0));
    // All ranks', for gathers and for reductions; the first has no connection but for splits.
    EXPECT_EQ(memory.communicators, Bytes(3 * 7 + 2 * 24 * (12 << 20)));
    EXPECT_EQ(memory.total(), memory.context + memory.communicators);
}

TEST(RuntimeMemory, TransfersTakeOneEnd) {
    const Plan plan = plan_with_degrees(3, 1, 3, 0);
    Device device;
    device.nccl = {Bytes(0), 1, Bytes(1), Bytes(100)};
    // The first stage sends activations and receives gradients; the tied embedding goes both ways.
    EXPECT_EQ(predict_runtime(device, plan.program, 0, false).communicators,
              Bytes(2 * 1 + 2 * 100));
    EXPECT_EQ(predict_runtime(device, plan.program, 1, false).communicators,
              Bytes(2 * 1 + 2 * 100));
}

TEST(RuntimeMemory, WorkspacesAndSamples) {
    const Plan plan =
        plan_with_degrees(2, 1, 1, 0);  // 4 micro-batches of 2 samples, 16 tokens each
    EXPECT_EQ(staged_samples(plan.program.roles[0]), Bytes(2 * 4 * (256 + 256)));
    Device device;
    device.workspace = Bytes(1000);
    EXPECT_EQ(predict_runtime(device, plan.program, 0, false).workspace.value % 1000,
              (2 * 4 * 512) % 1000);
    EXPECT_EQ(predict_runtime(device, plan.program, 0, false).communicators, Bytes(0));
    // 2 samples, 4 heads, 16 queries: 6 elements and a sum each, in fp32.
    EXPECT_EQ(predict_runtime(device, plan.program, 0, true).workspace -
                  predict_runtime(device, plan.program, 0, false).workspace,
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
