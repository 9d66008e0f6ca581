// ZeRO++: volumes between nodes in closed forms, what it keeps, and what it does not go with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/checked.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/lowering/quantised.h"
#include "core/program/check.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::checked_plan;
using test::kHalfBytes;
using test::padded;
using testing::HasSubstr;

constexpr int kPerNode = 4, kRanks = 8;
constexpr std::int64_t kScaleBytes = 4;

struct Use {
    bool weights = false;
    int secondary = 0;
    bool gradients = false;
};

Scenario zero_plus_plus_scenario(const Use& use, int ranks = kRanks,
                                 std::int64_t micro_batches = 1) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), ranks);
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = std::min(kPerNode, ranks);
    s.cluster.nodes = ranks / s.cluster.gpus_per_node;
    s.training.precision = DType::bf16;
    s.training.micro_batch = 24 / ranks / micro_batches;
    s.strategies[0].zero = 3;
    s.strategies[0].quantized_weights = use.weights;
    s.strategies[0].secondary_shard = use.secondary;
    s.strategies[0].quantized_gradients = use.gradients;
    return s;
}

struct Volume {
    std::int64_t inside = 0;  // bytes that one rank receives from its node
    std::int64_t across = 0;  // that a node receives from others
};

// Of a step. A collective of the data group brings parts of all ranks into a node, once for all of its ranks.
Volume volume(const Plan& plan) {
    Volume v;
    const RoleProgram& role = plan.program.roles[0];
    const auto is = [&](GroupId group, std::string_view name) {
        return group == group_named(plan.program, name);
    };
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation)) {
                const std::int64_t size = plan.program.groups[c->group.index()].size;
                const std::int64_t part = c->bytes().value / size;
                if (is(c->group, kSecondaryGroup) || is(c->group, kNodeGroup)) {
                    v.inside += (size - 1) * part;
                } else if (is(c->group, kNodesGroup)) {
                    v.across += kPerNode * (size - 1) * part;
                } else {
                    v.inside += (kPerNode - 1) * part;
                    v.across += (size - kPerNode) * part;
                }
            }
    return v;
}

std::int64_t sum_over_units(const Plan& plan, const std::function<std::int64_t(const Unit&)>& of) {
    std::int64_t sum = 0;
    for (const Unit& unit : plan.units[0]) sum += of(unit);
    return sum;
}

// Elements of all gathers of a step, by whichever group.
std::int64_t gathered(const Plan& plan, std::string_view body) {
    std::int64_t elements = 0;
    for (const Body& b : plan.program.roles[0].bodies) {
        if (!b.name.starts_with(body)) continue;
        for (const Instruction& i : b.instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation))
                if (c->kind == CollectiveKind::all_gather && c->dtype == DType::bf16)
                    elements += c->elements;
    }
    return elements;
}

// Without ZeRO++ a node receives (n − L)/n of what is gathered forward and backward, and of the gradients:
// 3M of the paper's, for whole gathers.
TEST(ZeroPlusPlus, PlainVolume) {
    const Plan plan = checked_plan(zero_plus_plus_scenario({}));
    const std::int64_t all = gathered(plan, "forward") + gathered(plan, "backward") + padded(plan);
    EXPECT_EQ(volume(plan).across, all * kHalfBytes * (kRanks - kPerNode) / kRanks);
}

// Half of every gather, and a scale for each block.
TEST(ZeroPlusPlus, QuantisedWeightsHalveGathers) {
    const Plan plain = checked_plan(zero_plus_plus_scenario({})),
               plan = checked_plan(zero_plus_plus_scenario({.weights = true}));
    EXPECT_EQ(gathered(plan, "forward") + gathered(plan, "backward"), 0);
    std::int64_t scales = 0;
    for (const Body& b : plan.program.roles[0].bodies)
        for (const Instruction& i : b.instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation))
                if (c->kind == CollectiveKind::all_gather && c->dtype == DType::fp32)
                    scales += c->elements;
    const std::int64_t elements = gathered(plain, "forward") + gathered(plain, "backward");
    EXPECT_EQ(volume(plan).across, (elements + scales * kScaleBytes + padded(plain) * kHalfBytes) *
                                       (kRanks - kPerNode) / kRanks);
    EXPECT_LT(scales * 100, elements);
}

// The backward pass gathers within the node: nothing crosses.
TEST(ZeroPlusPlus, SecondaryShardsKeepTheBackwardPassInTheNode) {
    const Plan plain = checked_plan(zero_plus_plus_scenario({}));
    const Plan plan = checked_plan(zero_plus_plus_scenario({.secondary = kPerNode}));
    EXPECT_EQ(volume(plan).across, (gathered(plain, "forward") + padded(plain)) * kHalfBytes *
                                       (kRanks - kPerNode) / kRanks);
    std::int64_t secondary = 0;
    for (const Buffer& b : plan.program.roles[0].buffers)
        if (b.name.starts_with("secondary ")) secondary += b.size().value;
    EXPECT_EQ(secondary, padded(plan) * kHalfBytes / kPerNode);
    const Plan by_word = checked_plan(zero_plus_plus_scenario({.secondary = Strategy::kWholeNode}));
    EXPECT_EQ(to_text(plan.program), to_text(by_word.program));
}

// A node's sums cross its border in four bits: a quarter of bf16.
TEST(ZeroPlusPlus, QuantisedGradientsGoInTwoHops) {
    const Plan plan = checked_plan(zero_plus_plus_scenario({.gradients = true}));
    const auto with_scales = [](const Unit& u, std::int64_t elements) {
        return elements / 2 + elements / quantised_block(u.shard, kGradientBlock) * kScaleBytes;
    };
    const std::int64_t plain =
        (gathered(plan, "forward") + gathered(plan, "backward")) * kHalfBytes;
    constexpr std::int64_t kNodes = kRanks / kPerNode;
    EXPECT_EQ(volume(plan).across,
              plain * (kRanks - kPerNode) / kRanks + sum_over_units(plan, [&](const Unit& u) {
                  return kPerNode * with_scales(u, u.padded / kPerNode) * (kNodes - 1) / kNodes;
              }));
    EXPECT_EQ(volume(plan).inside,
              plain * (kPerNode - 1) / kRanks + sum_over_units(plan, [&](const Unit& u) {
                  return with_scales(u, u.padded) * (kPerNode - 1) / kPerNode;
              }));
}

// Wang et al. 2023, table 1: 3M of a model's 16-bit bytes between nodes become 0.5M + 0 + 0.25M; M are those of
// all parameters, of which a node has its own part already. With large layers, so that scales are few.
TEST(ZeroPlusPlus, ThePapersVolumes) {
    const auto node_volume = [](const Use& use) {
        Scenario s = zero_plus_plus_scenario(use, 64);
        s.training.global_batch = 64;
        s.training.micro_batch = 1;
        std::get<LlamaSpec>(s.model.kind).hidden = 512;
        std::get<LlamaSpec>(s.model.kind).ffn = 1024;
        std::get<LlamaSpec>(s.model.kind).layers = 8;
        const Plan plan = test::lower_tiny(s);
        return static_cast<double>(volume(plan).across) /
               static_cast<double>(padded(plan) * kHalfBytes);
    };
    const double crossing = 60.0 / 64;
    EXPECT_NEAR(node_volume({}), 3 * crossing, 0.15);  // the last layer stays gathered
    EXPECT_NEAR(node_volume({true, kPerNode, true}), (0.5 + 0 + 0.25) * crossing, 0.04);
}

TEST(ZeroPlusPlus, EveryCombinationIsAProgram) {
    for (const bool weights : {false, true})
        for (const int secondary : {0, 2, 4, 8})
            for (const bool gradients : {false, true})
                for (const int ranks : {2, 4, 8})
                    for (const std::int64_t micro_batches : {1, 3}) {
                        if (secondary > ranks) continue;
                        Scenario s = zero_plus_plus_scenario({weights, secondary, gradients}, ranks,
                                                             micro_batches);
                        SCOPED_TRACE(layout_of(s.strategies[0], ranks));
                        EXPECT_NO_THROW(checked_plan(s));
                        s.strategies[0].offload = {OffloadTo::cpu, OffloadTo::cpu, OffloadTo::none};
                        EXPECT_NO_THROW(checked_plan(s));
                        s.strategies[0].prefetch = 0;
                        s.training.precision = DType::fp32;
                        EXPECT_NO_THROW(checked_plan(s));
                    }
}

TEST(ZeroPlusPlus, GoesWithTensorAndPipelineParallelism) {
    Scenario s = zero_plus_plus_scenario({true, 2, true});
    s.strategies[0].tp = 2;
    EXPECT_NO_THROW(checked_plan(s));
    const Plan plan = checked_plan(s);
    const auto member = [&](std::string_view group) {
        const Group& g = plan.program.groups[group_named(plan.program, group).index()];
        return g.member(Rank(0), 1);
    };
    EXPECT_EQ(member(kSecondaryGroup), Rank(2));
    EXPECT_EQ(member(kNodeGroup), Rank(2));
    EXPECT_EQ(member(kNodesGroup), Rank(4));
    s.strategies[0].tp = 1;
    s.strategies[0].pp = 2;
    s.training.micro_batch = 1;
    EXPECT_NO_THROW(checked_plan(s));
}

TEST(ZeroPlusPlus, BlocksAreOfEqualSizeAndDeepSpeeds) {
    EXPECT_EQ(quantised_block(8000, 8000), 8000);
    EXPECT_EQ(quantised_block(16000, 8000), 8000);
    EXPECT_EQ(quantised_block(16, 8000), 16);
    for (const std::int64_t n : {16, 48, 7056, 12288 * 16, 50257 * 16}) {
        const std::int64_t block = quantised_block(n, kWeightBlock);
        EXPECT_EQ(n % block, 0);
        EXPECT_EQ(block % 8, 0);
        EXPECT_LE(block, kWeightBlock);
    }
}

std::string zero_plus_plus_refusal(const Scenario& s) {
    try {
        test::lower_tiny(s);
    } catch (const Error& e) {
        return e.what();
    }
    return "accepted";
}

TEST(ZeroPlusPlus, Refusals) {
    Scenario s = zero_plus_plus_scenario({.weights = true});
    s.strategies[0].zero = 2;
    EXPECT_THAT(zero_plus_plus_refusal(s), HasSubstr("quantized_weights with zero 2"));
    s = zero_plus_plus_scenario({.secondary = 4});
    s.strategies[0].shard_group = 4;
    EXPECT_THAT(zero_plus_plus_refusal(s), HasSubstr("secondary_shard with shard_group"));
    EXPECT_THAT(zero_plus_plus_refusal(zero_plus_plus_scenario({.secondary = 3})),
                HasSubstr("does not divide the 8 ranks"));
    EXPECT_THAT(zero_plus_plus_refusal(zero_plus_plus_scenario({.secondary = 1})),
                HasSubstr("every rank would keep all"));
    EXPECT_THAT(zero_plus_plus_refusal(zero_plus_plus_scenario({.gradients = true}, 1)),
                HasSubstr("nothing is gathered"));
    s = zero_plus_plus_scenario({.gradients = true});
    s.strategies[0].profile = RuntimeProfile::fsdp;
    EXPECT_THAT(zero_plus_plus_refusal(s), HasSubstr("which has no ZeRO++"));
    s = zero_plus_plus_scenario({.gradients = true});
    s.cluster.gpus_per_node = 3;
    s.cluster.nodes = 3;
    s.strategies[0].ranks = 8;
    EXPECT_THAT(zero_plus_plus_refusal(s), HasSubstr("no group of data-parallel ranks on each"));
}

}  // namespace
}  // namespace shardscope
