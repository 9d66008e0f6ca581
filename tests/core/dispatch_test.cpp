// How tokens travel to experts: what each dispatcher sends, keeps and needs, shared experts beside it, and what is
// refused.
#include <cmath>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/runtime_memory.h"
#include "core/scenario_io.h"
#include "core/strategy/strategy_io.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::kTinySeq;

constexpr std::int64_t kDispatchHidden = 128, kExperts = 8, kChosen = 2, kExpertWidth = 20;

ModelSpec shared_mixture(std::int64_t shared = 12, bool gate = false) {
    TransformerSpec s = test::tiny_transformer();
    s.hidden = kDispatchHidden;
    s.head_dim = 6;
    s.experts = {kExperts, kChosen, kExpertWidth, shared, gate};
    return {"mixture", s};
}

struct DispatchDegrees {
    int tp = 1, pp = 1, dp = 4, ep = 4, etp = 0, zero = 0;
};

Scenario dispatch_scenario(const ModelSpec& model, const DispatchDegrees& d,
                           Dispatcher dispatcher) {
    Scenario s = test::tiny_scenario(model, d.tp * d.pp * d.dp);
    s.cluster.device.kind = DeviceKind::gpu;
    s.cluster.gpus_per_node = d.tp * d.pp * d.dp;
    s.cluster.nodes = 1;
    s.training.global_batch = 4 * d.dp;
    s.training.micro_batch = 2;
    s.training.precision = DType::bf16;
    Strategy& strategy = s.strategies[0];
    strategy.tp = d.tp;
    strategy.sequence_parallel = d.tp > 1;
    strategy.pp = d.pp;
    strategy.ep = d.ep;
    if (d.etp > 0) strategy.etp = d.etp;
    strategy.zero = d.zero;
    strategy.dispatcher = dispatcher;
    return s;
}

constexpr auto kEveryDispatcher = {Dispatcher::all_to_all, Dispatcher::all_gather,
                                   Dispatcher::deepep};

TEST(DispatchSlow, EveryPlanIsSound) {
    using Kind = Recompute::Kind;
    for (const bool gate : {false, true})
        for (const DispatchDegrees d : {DispatchDegrees{1, 1, 4, 4},
                                        {1, 1, 4, 2},
                                        {2, 1, 2, 2},
                                        {2, 1, 4, 2, 1},
                                        {4, 1, 2, 2, 2},
                                        {2, 1, 2, 1},
                                        {1, 1, 4, 1},
                                        {2, 3, 2, 2, 0, 1},
                                        {1, 1, 4, 4, 0, 3},
                                        {2, 1, 2, 2, 0, 2}})
            for (const Dispatcher dispatcher : kEveryDispatcher)
                for (const bool narrow : {false, true})
                    for (const bool beside : {false, true})
                        for (const Kind recompute : {Kind::none, Kind::selective, Kind::full})
                            for (const bool halves : {false, true}) {
                                if (halves && d.pp == 1) continue;
                                Scenario s =
                                    dispatch_scenario(shared_mixture(12, gate), d, dispatcher);
                                Strategy& strategy = s.strategies[0];
                                if (narrow) strategy.dispatch_precision = DispatchPrecision::fp8;
                                strategy.overlap_shared_experts = beside;
                                strategy.recompute.kind = recompute;
                                if (d.tp > 1) strategy.tp_overlap = TensorOverlap::gradients;
                                if (halves) strategy.schedule = Schedule::zero_bubble;
                                SCOPED_TRACE(test::describe(s, strategy) +
                                             layout_of(strategy, d.dp));
                                EXPECT_NO_THROW(test::checked_plan(s));
                            }
}

struct Exchanged {
    std::int64_t calls = 0, bytes = 0, elements = 0;
};

Exchanged exchanged(const Plan& plan, CollectiveKind kind, const std::string& group, DType type) {
    Exchanged sum;
    for (const RoleProgram& role : plan.program.roles)
        test::for_each_scheduled(role, [&](const Instruction& i) {
            const auto* c = std::get_if<Collective>(&i.operation);
            if (c == nullptr || c->kind != kind || c->dtype != type ||
                plan.program.groups[c->group.index()].name != group)
                return;
            ++sum.calls;
            sum.bytes += c->bytes().value;
            sum.elements += c->elements;
        });
    return sum;
}

constexpr std::int64_t kTimes = 3 * 2;  // layers · micro-batches

// Of r rows a rank: all are gathered for the experts, and the gradients of what they gave; sums of as many are
// scattered. The table is 4 + 1 bytes per row and expert; its gradient 4.
TEST(Dispatch, AllGatherBringsEveryRowToEveryRank) {
    const Plan plan = test::checked_plan(
        dispatch_scenario(shared_mixture(), {1, 1, 4, 4}, Dispatcher::all_gather));
    const std::int64_t all = 4 * 2 * kTinySeq;
    const auto of = [&](CollectiveKind kind, DType type) {
        return exchanged(plan, kind, "ep", type);
    };
    EXPECT_EQ(of(CollectiveKind::all_gather, DType::bf16).elements,
              kTimes * 2 * all * kDispatchHidden);
    EXPECT_EQ(of(CollectiveKind::reduce_scatter, DType::bf16).elements,
              kTimes * 2 * all * kDispatchHidden);
    EXPECT_EQ(of(CollectiveKind::all_gather, DType::fp32).elements, kTimes * all * kExperts);
    EXPECT_EQ(of(CollectiveKind::all_gather, DType::int8).elements, kTimes * all * kExperts);
    EXPECT_EQ(of(CollectiveKind::reduce_scatter, DType::fp32).elements, kTimes * all * kExperts);
    EXPECT_EQ(of(CollectiveKind::all_to_all, DType::bf16).calls, 0);
}

// Tensor-parallel ranks that divide an expert are in the same group: no collective of their own.
TEST(Dispatch, CopiesGoToAllRanksThatDivideAnExpert) {
    for (const Dispatcher dispatcher : {Dispatcher::all_gather, Dispatcher::deepep}) {
        const Plan plan =
            test::checked_plan(dispatch_scenario(shared_mixture(0), {2, 1, 2, 2}, dispatcher));
        const GroupId group = group_named(plan.program, kTokenGroup);
        ASSERT_TRUE(group.valid());
        EXPECT_EQ(plan.program.groups[group.index()].size, 4);
        EXPECT_EQ(plan.program.groups[group.index()].stride, 1);
        EXPECT_EQ(exchanged(plan, CollectiveKind::all_to_all, "ep", DType::bf16).calls, 0);
    }
}

const Buffer& buffer_of(const Plan& plan, const std::string& name) {
    for (const Buffer& b : plan.program.roles[0].buffers)
        if (b.name == name) return b;
    throw std::out_of_range("no buffer " + name);
}

// 2 of 8 experts over 4 ranks with 2 each: a rank is reached by 1 − (6·5)/(8·7) of the tokens.
TEST(Dispatch, DeepEpSendsARowOnceToARank) {
    const Plan plan =
        test::checked_plan(dispatch_scenario(shared_mixture(), {1, 1, 4, 4}, Dispatcher::deepep));
    const std::int64_t rows = 2 * kTinySeq;
    const auto come =
        static_cast<std::int64_t>(std::ceil(static_cast<double>(4 * rows) * (1 - 30.0 / 56)));
    EXPECT_EQ(buffer_of(plan, "blocks.0.experts.received").elements, come * kDispatchHidden);
    EXPECT_EQ(buffer_of(plan, "blocks.0.experts.summed").elements, come * kDispatchHidden);
    EXPECT_EQ(buffer_of(plan, "blocks.0.experts.weights received").elements, come * kChosen);
    EXPECT_LT(come, rows * kChosen) << "fewer than a row per expert";
    const Exchanged there = exchanged(plan, CollectiveKind::dispatch, "ep", DType::bf16);
    const Exchanged back = exchanged(plan, CollectiveKind::combine, "ep", DType::bf16);
    EXPECT_EQ(there.calls, 2 * kTimes);
    EXPECT_EQ(there.elements, kTimes * 2 * rows * kDispatchHidden);
    // Weights and numbers of experts go along once, the gradient of the weights comes back.
    EXPECT_EQ(there.bytes, kTimes * rows * (2 * 2 * kDispatchHidden + 8 * kChosen));
    EXPECT_EQ(back.bytes, kTimes * rows * (2 * 2 * kDispatchHidden + 4 * kChosen));
}

// One byte per element and four per 128 of them on the way there, two on the way back.
TEST(Dispatch, EightBitsTravelToExpertsAlone) {
    Scenario s = dispatch_scenario(shared_mixture(), {1, 1, 4, 4}, Dispatcher::deepep);
    s.strategies[0].dispatch_precision = DispatchPrecision::fp8;
    const Plan plan = test::checked_plan(s);
    const std::int64_t rows = 2 * kTinySeq;
    const Exchanged there = exchanged(plan, CollectiveKind::dispatch, "ep", DType::int8);
    EXPECT_EQ(there.bytes,
              kTimes * rows * (2 * (kDispatchHidden + 4 * kDispatchHidden / 128) + 8 * kChosen));
    EXPECT_EQ(exchanged(plan, CollectiveKind::combine, "ep", DType::bf16).bytes,
              kTimes * rows * (2 * 2 * kDispatchHidden + 4 * kChosen));
    s.strategies[0].dispatcher = Dispatcher::all_to_all;
    const Plan places = test::checked_plan(s);
    const std::int64_t placed = rows * kChosen;
    EXPECT_EQ(exchanged(places, CollectiveKind::all_to_all, "ep", DType::int8).elements,
              kTimes * 2 * placed * kDispatchHidden);
    // Scales of the rows beside their weights, and of gradients.
    EXPECT_EQ(exchanged(places, CollectiveKind::all_to_all, "ep", DType::fp32).elements,
              kTimes * placed * (2 * kDispatchHidden / 128 + 2));
    EXPECT_EQ(exchanged(places, CollectiveKind::all_to_all, "ep", DType::bf16).elements,
              kTimes * 2 * placed * kDispatchHidden);
}

// What a block keeps: the experts' rows, gate, up and what their second multiply reads, in any case; of the table
// what the router's gradient reads, and the order of the rank's own rows.
TEST(Dispatch, KeepsWhatTheBackwardPassReads) {
    const auto kept = [](Dispatcher dispatcher, int ep) {
        Scenario s = dispatch_scenario(shared_mixture(0), {1, 1, 4, ep}, dispatcher);
        return test::saved_by_a_block(test::lower_tiny(s));
    };
    const std::int64_t rows = 2 * kTinySeq, places = rows * kChosen;
    for (const int ep : {2, 4}) {
        const std::int64_t usual = kept(Dispatcher::all_to_all, ep);
        EXPECT_EQ(kept(Dispatcher::deepep, ep) - usual, 4 * places) << ep;
        EXPECT_EQ(kept(Dispatcher::all_gather, ep) - usual, rows * kExperts) << ep;
    }
    EXPECT_EQ(kept(Dispatcher::deepep, 1), kept(Dispatcher::all_to_all, 1)) << "nothing travels";
}

// Rows of all ranks are on each of them: more with more ranks, whereas places stay the same.
TEST(Dispatch, MemoryOfAllGatherGrowsWithTheRanks) {
    const auto largest = [](Dispatcher dispatcher, int ep) {
        const Plan plan =
            test::lower_tiny(dispatch_scenario(shared_mixture(), {1, 1, 8, ep}, dispatcher));
        return buffer_of(plan, "blocks.0.experts.received").elements;
    };
    EXPECT_EQ(largest(Dispatcher::all_gather, 8), 2 * largest(Dispatcher::all_gather, 4));
    EXPECT_EQ(largest(Dispatcher::all_to_all, 4), largest(Dispatcher::all_to_all, 2));
    EXPECT_LE(largest(Dispatcher::deepep, 8), largest(Dispatcher::all_gather, 8));
}

// DeepEP's own formula, of 8 ranks and of 64, whose rows are 7168 · 2 bytes.
TEST(Dispatch, DeepEpHasBuffersOfItsOwn) {
    const std::int64_t token = 14336 + 8 + 128 * 12 + 128 * 4;
    const auto aligned = [](std::int64_t bytes) { return (bytes + 127) / 128 * 128; };
    EXPECT_EQ(deepep_buffers(14336, 8).value, aligned(10 * 8 * (4 * 5 + 256 * token)));
    const std::int64_t inside = 10 * 8 * (4 * 19 + 288 * token);
    const std::int64_t across = 10 * 8 * 2 * (4 * 18 + 140 * (token + 16)) + (1 << 20);
    EXPECT_EQ(deepep_buffers(14336, 64).value, aligned(inside) + aligned(across));
    const auto runtime = [](Dispatcher dispatcher) {
        return test::lower_tiny(dispatch_scenario(shared_mixture(), {1, 1, 4, 4}, dispatcher))
            .memory[0]
            .runtime_parts.communicators.value;
    };
    EXPECT_EQ(runtime(Dispatcher::deepep) - runtime(Dispatcher::all_to_all),
              deepep_buffers(2 * kDispatchHidden, 4).value);
}

// All of what ranks of experts exchange is on a stream of its own, and multiplies of shared experts are between the
// collectives and what follows them.
TEST(Dispatch, SharedExpertsAreComputedMeanwhile) {
    for (const Dispatcher dispatcher : kEveryDispatcher) {
        Scenario s = dispatch_scenario(shared_mixture(), {1, 1, 4, 4}, dispatcher);
        const auto on = [&](bool beside) {
            s.strategies[0].overlap_shared_experts = beside;
            std::array<std::int64_t, 2> bytes{};  // on the compute stream, on that of experts
            const Plan plan = test::checked_plan(s);
            test::for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
                const auto* c = std::get_if<Collective>(&i.operation);
                if (c == nullptr || plan.program.groups[c->group.index()].name != "ep") return;
                bytes[i.stream == Stream::experts ? 1 : 0] += c->bytes().value;
            });
            return bytes;
        };
        const auto usual = on(false), beside = on(true);
        EXPECT_EQ(usual[1], 0);
        EXPECT_EQ(beside[0], 0);
        EXPECT_EQ(beside[1], usual[0]) << "the same bytes";
    }
}

// Keys that have no effect change nothing.
TEST(Dispatch, OneRankOfExpertsExchangesNothing) {
    const auto text = [](const Strategy& changes) {
        Scenario s = dispatch_scenario(shared_mixture(), {1, 1, 4, 1}, changes.dispatcher);
        s.strategies[0].dispatch_precision = changes.dispatch_precision;
        s.strategies[0].overlap_shared_experts = changes.overlap_shared_experts;
        return to_text(test::lower_tiny(s).program);
    };
    Strategy changed;
    const std::string usual = text(changed);
    changed.dispatch_precision = DispatchPrecision::fp8;
    changed.overlap_shared_experts = true;
    for (const Dispatcher dispatcher : kEveryDispatcher) {
        changed.dispatcher = dispatcher;
        EXPECT_EQ(text(changed), usual);
    }
}

struct RefusedDispatch {
    std::string experts, strategy, message;
};

TEST(Dispatch, RefusesByName) {
    const std::string eight = ", experts: {count: 24, per_token: 2, ffn: 20, shared_ffn: 8}";
    const std::vector<RefusedDispatch> cases = {
        {"", "dispatcher: deepep",
         "dispatcher, but the model has no experts; leave out dispatcher"},
        {"", "dispatch_precision: fp8", "dispatch_precision, but the model has no experts"},
        {"", "overlap_shared_experts: true",
         "overlap_shared_experts, but the model has no experts"},
        {", experts: {count: 8, per_token: 2, ffn: 20}", "ep: 8, overlap_shared_experts: true",
         "no shared experts: nothing is computed meanwhile"},
        {eight, "ep: 8, dispatch_precision: fp8",
         "fp8 with hidden 24: a row has a scale for every 128 elements; use a hidden that is a "
         "multiple of 128"},
        {eight, "ep: 12, dispatcher: deepep",
         "dispatcher: test.yaml:4:14: deepep among ep 12 × etp 1 = 12 ranks on nodes of 8: it "
         "needs groups that lie alike on each node; use an ep · etp that divides 8"},
        {eight, "ep: 8, dispatcher: deep", "deepep"},
        {", experts: {count: 8, per_token: 2, ffn: 20, groups: 3}", "",
         "8 experts do not divide into 3 groups"},
        {", experts: {count: 8, per_token: 2, ffn: 20, groups: 4, groups_per_token: 5}", "",
         "groups_per_token 5 of 4 groups"},
        {", experts: {count: 8, per_token: 3, ffn: 20, groups: 4, groups_per_token: 1}", "",
         "per_token 3 of the 2 experts in groups_per_token 1 of 4 groups"},
    };
    for (const RefusedDispatch& c : cases) {
        const std::string text =
            "model: {transformer: {layers: 3, hidden: 24, heads: 4, ffn: 36, vocab: 50, seq: 16" +
            c.experts +
            "}}\ntraining: {global_batch: 24}\ncluster: {gpu: h100-sxm, nodes: 3}\n"
            "strategies: [{name: x" +
            (c.strategy.empty() ? "" : ", " + c.strategy) + "}]\n";
        const std::string message = test::refusal_of(text);
        EXPECT_NE(message.find(c.message), std::string::npos)
            << text << "  wanted: " << c.message << "\n  got: " << message;
    }
}

}  // namespace
}  // namespace shardscope
