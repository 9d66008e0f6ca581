// Mixtures of experts and latent attention: parameters, what a rank holds of them, what is kept, sent and
// computed, and what is refused.
#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/scenario_io.h"
#include "tests/core/plan_facts.h"
#include "tests/core/profile_plans.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::kept;
using test::kTinyHidden;
using test::kTinySeq;

ModelSpec mixture(std::int64_t shared_ffn = 0, bool shared_gate = false) {
    TransformerSpec s = test::tiny_transformer();
    s.experts = {8, 2, 20, shared_ffn, shared_gate};
    return {"mixture", s};
}

ModelSpec latent(std::int64_t query_rank) {
    TransformerSpec s = test::tiny_transformer();
    s.kv_heads = 0;
    s.latent = {10, query_rank, 8, 4, 6};
    s.experts = {8, 3, 20, 12};
    s.experts.first_dense = 1;
    return {"latent", s};
}

struct Degrees {
    int tp = 1, pp = 1, dp = 1, ep = 1, zero = 0;
    int etp = 0;    // 0: tp
    int group = 0;  // Strategy::shard_group
    int groups() const { return group > 0 && zero > 0 ? dp / group : 1; }
};

Scenario scenario_of(const ModelSpec& model, const Degrees& d) {
    Scenario s = test::tiny_scenario(model, d.tp * d.pp * d.dp);
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
    if (d.zero > 0) strategy.shard_group = d.group;
    strategy.bucket = Bytes(3000);
    return s;
}

Plan plan_of_experts(const ModelSpec& model, const Degrees& d) {
    return test::lower_tiny(scenario_of(model, d));
}

std::vector<Degrees> layouts() {
    std::vector<Degrees> list;
    for (const int zero : {0, 1, 2, 3})
        for (const Degrees d : {Degrees{1, 1, 4, 1},
                                {1, 1, 4, 2},
                                {1, 1, 4, 4},
                                {2, 1, 4, 2},
                                {2, 1, 2, 2},
                                {1, 3, 2, 2},
                                {2, 3, 4, 2},
                                {2, 1, 2, 4, 0, 1},
                                {2, 1, 4, 2, 0, 1},
                                {2, 3, 4, 8, 0, 1},
                                {4, 1, 2, 2, 0, 2},
                                {4, 1, 1, 4, 0, 1},
                                {4, 1, 1, 2, 0, 1},  // of experts alone there are copies
                                {4, 1, 2, 1, 0, 2},
                                // Shard groups in which 2 ranks have the same experts, or one
                                {1, 1, 8, 2, 0, 0, 4},
                                {1, 1, 4, 2, 0, 0, 2},
                                {2, 1, 4, 2, 0, 0, 2},
                                {1, 3, 4, 2, 0, 0, 2},
                                {2, 1, 4, 4, 0, 1, 2},
                                {4, 1, 4, 2, 0, 2, 2}})
            list.push_back({d.tp, d.pp, d.dp, d.ep, zero, d.etp, d.group});
    return list;
}

std::vector<ModelSpec> models() {
    return {mixture(), mixture(12), mixture(12, true), latent(0), latent(14)};
}

TEST(ExpertsSlow, EveryPlanIsSound) {
    using Kind = Recompute::Kind;
    for (const ModelSpec& model : models())
        for (const Degrees& d : layouts())
            for (const Kind recompute : {Kind::none, Kind::selective, Kind::full})
                for (const bool zero_bubble : {false, true}) {
                    if (zero_bubble && d.pp == 1) continue;
                    Scenario s = scenario_of(model, d);
                    s.strategies[0].recompute.kind = recompute;
                    if (zero_bubble) s.strategies[0].schedule = Schedule::zero_bubble;
                    SCOPED_TRACE(test::describe(s, s.strategies[0]));
                    const Plan plan = test::lower_tiny(s);
                    EXPECT_NO_THROW(check_program(plan.program, plan.memory));
                }
}

// Every element of every parameter is on as many ranks as hold it, and each state on exactly one of those
// that share it.
TEST(Experts, ShardMapCoversEveryElement) {
    for (const ModelSpec& model : models())
        for (const Degrees& d : layouts()) {
            const Plan plan = plan_of_experts(model, d);
            SCOPED_TRACE(layout_of(plan.strategy, plan.layout.dp));
            std::vector<std::vector<int>> held(plan.model->parameters.size()), states = held;
            for (int r = 0; r < plan.layout.world; ++r)
                for (const ShardSlice& slice : shard_map(plan, Rank(r))) {
                    const bool state = slice.tensor == ShardSlice::Tensor::state1;
                    if (!state && slice.tensor != ShardSlice::Tensor::parameter) continue;
                    auto& counts = (state ? states : held)[slice.parameter.index()];
                    counts.resize(static_cast<std::size_t>(
                        plan.model->parameters[slice.parameter.index()].elements()));
                    for (std::int64_t i = 0; i < slice.count; ++i)
                        ++counts[static_cast<std::size_t>(slice.global_first + i)];
                }
            for (std::size_t p = 0; p < held.size(); ++p) {
                const std::string& name = plan.model->parameters[p].name;
                const bool expert = name.find(".experts.") != std::string::npos;
                // Others count once per tensor-parallel rank that has them too.
                if (d.tp > 1 && !expert) continue;
                const int ranks = expert ? d.tp * d.dp / (d.ep * (d.etp > 0 ? d.etp : d.tp)) : d.dp;
                ASSERT_FALSE(held[p].empty()) << name;
                const int shared = d.groups();  // ranks with the same shard
                for (const int n : held[p]) ASSERT_EQ(n, d.zero == 3 ? shared : ranks) << name;
                for (const int n : states[p]) ASSERT_EQ(n, d.zero >= 1 ? shared : ranks) << name;
            }
        }
}

// Of E experts' elements a rank holds 1/ep, and of their optimizer states 1/(dp/ep) of that with ZeRO 1;
// of the others everything and 1/dp. Padding: less than 16 elements per unit and rank.
TEST(Experts, StatesFollowTheirOwnGroups) {
    const std::int64_t experts = 3 * 8 * 3 * kTinyHidden * 20;
    const std::int64_t others = build_model(mixture()).parameter_count() - experts;
    for (const int ep : {1, 2, 4}) {
        const Degrees all{1, 1, 4, ep, 0}, sharded{1, 1, 4, ep, 1};
        const RoleProgram whole = plan_of_experts(mixture(), all).program.roles[0];
        EXPECT_EQ(kept(whole, Category::parameters), 2 * (others + experts / ep));
        EXPECT_EQ(kept(whole, Category::gradients), 2 * (others + experts / ep));
        EXPECT_EQ(kept(whole, Category::optimizer_states), 12 * (others + experts / ep));
        const Plan plan = plan_of_experts(mixture(), sharded);
        const std::int64_t states = kept(plan.program.roles[0], Category::optimizer_states);
        const std::int64_t share = 12 * (others + experts) / 4;
        EXPECT_GE(states, share);
        EXPECT_LT(states, share + 12 * 16 * std::ssize(plan.units[0]));
    }
}

// Where tensor-parallel ranks hold copies of whole experts, ZeRO divides their states though nothing else has a copy.
TEST(Experts, StatesOfCopiesAreDividedWithOneDataParallelRank) {
    const std::int64_t experts = 3 * 8 * 3 * kTinyHidden * 20 / 2;  // of a rank
    const auto states = [](int zero) {
        const Plan plan = plan_of_experts(mixture(), {4, 1, 1, 2, zero, 1});
        return kept(plan.program.roles[0], Category::optimizer_states);
    };
    EXPECT_EQ(states(0) - states(1), 12 * experts / 2);
}

// With ZeRO 2 their gradients are reduced after every micro-batch, though nothing else is.
TEST(Experts, GradientsOfCopiesAreReducedEveryMicroBatch) {
    const Plan plan = plan_of_experts(mixture(), {4, 1, 1, 2, 2, 1});
    std::int64_t reductions = 0, units = 0;
    test::for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        reductions += c != nullptr && c->kind == CollectiveKind::reduce_scatter &&
                      plan.program.groups[c->group.index()].name == "edp";
    });
    for (const Unit& unit : plan.units[0]) units += unit.ranks > 1;
    EXPECT_GT(plan.layout.micro_batches, 1);
    EXPECT_EQ(reductions, units * plan.layout.micro_batches);
}

// What is gathered of a layer is cast as it comes from the host; what has no copies, before it, is cast in place.
TEST(Experts, ThatAloneHaveCopiesAreCastBeforeTheyAreGathered) {
    Scenario s = scenario_of(mixture(), {4, 1, 1, 2, 3, 1});
    s.cluster = catalogue_cluster("h100-sxm");
    s.strategies[0].profile = RuntimeProfile::fsdp;
    s.strategies[0].offload = {OffloadTo::cpu, OffloadTo::cpu};
    s.strategies[0].ranks = 4;
    const Plan plan = test::lower_tiny(s);
    EXPECT_NO_THROW(test::check_plan(plan));
    const auto casts = std::ranges::count_if(plan.program.roles[0].buffers, [](const Buffer& b) {
        return b.name.starts_with("cast ") && b.name.find("expert") != std::string::npos;
    });
    EXPECT_EQ(casts, test::kTinyLayers);
}

// FSDP has experts in fp32 also where each is on one rank of those that it shards over, with no master beside them, and
// makes a 16-bit copy for each pass.
TEST(Experts, FsdpKeepsThoseOfOneRankInFp32) {
    const std::int64_t experts = 3 * 8 * 3 * kTinyHidden * 20 / 4;
    for (const int group : {0, 4}) {
        SCOPED_TRACE(group);
        Scenario s = scenario_of(mixture(), {1, 1, group > 0 ? 8 : 4, 4, 3, 0, group});
        s.strategies[0].profile = RuntimeProfile::fsdp;
        const Plan plan = test::lower_tiny(s);
        std::map<std::string, std::int64_t> sums;  // by what it is
        for (const Buffer& b : plan.program.roles[0].buffers)
            if (b.name.find("experts") != std::string::npos)
                sums[b.name.substr(0, b.name.find(' '))] += b.size().value;
        EXPECT_EQ(sums["parameters"], 4 * experts);
        EXPECT_EQ(sums["master"], 0);
        EXPECT_EQ(sums["gradients"], 4 * experts);
        EXPECT_EQ(sums["gathered"], 2 * 2 * experts) << "for the forward and the backward pass";
        std::vector<MemoryPlan> arenas{plan_memory(plan.program.roles[0], Bytes(0))};
        EXPECT_NO_THROW(check_program(plan.program, arenas));
    }
}

// What a step sums of experts: within the ranks of a shard group that have the same, and between groups. Where one of a
// group has them, only between groups, all of them.
TEST(Experts, ShardGroupsReduceWithinAndBetween) {
    const std::int64_t experts = 3 * 8 * 3 * kTinyHidden * 20;
    for (const int zero : {1, 2, 3})
        for (const int group : {2, 4, 8}) {
            SCOPED_TRACE(testing::Message() << "zero " << zero << " over " << group);
            Scenario s = scenario_of(mixture(), {1, 1, 8, 2, zero, 0, group});
            s.training.micro_batch = 4;  // one
            const Plan plan = test::lower_tiny(s);
            std::map<std::pair<std::string, CollectiveKind>, std::int64_t> sums;
            test::for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
                if (const auto* c = std::get_if<Collective>(&i.operation))
                    if (c->elements > 1 && i.stream == Stream::reduce)
                        sums[{plan.program.groups[c->group.index()].name, c->kind}] += c->elements;
            });
            std::int64_t expert_shards = 0, other_shards = 0;
            for (const Unit& unit : plan.units[0])
                (unit.name.ends_with("experts") ? expert_shards : other_shards) += unit.shard;
            const int same = group / 2;
            EXPECT_GE(same * expert_shards, experts / 2);
            EXPECT_LT(same * expert_shards, experts / 2 + 16 * same * 3);
            const auto within =
                sums[{std::string(kExpertDataGroup), CollectiveKind::reduce_scatter}];
            EXPECT_EQ(within, same > 1 ? same * expert_shards : 0);
            const auto between = sums[{std::string(kReplicaGroup), CollectiveKind::all_reduce}];
            EXPECT_EQ(between, group < 8 ? expert_shards + other_shards : 0);
        }
}

// What each rank adds to the sum of squares, weighted: over all ranks of the sum every element once.
TEST(Experts, TheNormCountsEveryElementOnce) {
    for (const ModelSpec& model : models())
        for (const Degrees& d : layouts()) {
            Scenario s = scenario_of(model, d);
            s.training.clip = 1;
            std::get<TransformerSpec>(s.model.kind).vocab = 52;  // no padding over tp 4
            const Plan plan = test::lower_tiny(s);
            SCOPED_TRACE(layout_of(plan.strategy, plan.layout.dp));
            const Layout& layout = plan.layout;
            // Without sharding, and with experts over tp ranks each, one of dp/ep ranks adds for all.
            const bool everywhere = d.zero >= 1 || layout.etp < layout.tp;
            double counted = 0;
            for (const RoleProgram& role : plan.program.roles)
                for (const Rank rank : role.ranks) {
                    const auto& units = plan.units[plan.program.role_of(rank)];
                    std::size_t unit = 0;
                    for (const Body& body : role.bodies)
                        for (const Instruction& i : body.instructions) {
                            const auto* c = std::get_if<Compute>(&i.operation);
                            if (c == nullptr || !std::holds_alternative<SumSquares>(c->kernel))
                                continue;
                            const auto& k = std::get<SumSquares>(c->kernel);
                            while (units[unit].tied && &role != &plan.program.roles.front()) ++unit;
                            // The next one's first range begins anew.
                            const bool ranged = !units[unit].shared.empty();
                            const std::int64_t begin =
                                k.sharded || (d.zero >= 1 && units[unit].ranks > 1)
                                    ? units[unit].shard *
                                          plan.program.groups[units[unit].group.index()].index_of(
                                              rank)
                                    : 0;
                            const std::int64_t end =
                                std::min({begin + k.elements, units[unit].elements,
                                          ranged ? k.last : units[unit].elements});
                            const std::int64_t first = std::max(begin, ranged ? k.first : begin);
                            counted += k.weight *
                                       static_cast<double>(std::max<std::int64_t>(0, end - first));
                            if (!ranged || k.last == units[unit].elements) ++unit;
                        }
                    EXPECT_EQ(unit, units.size());
                }
            if (!everywhere) counted /= static_cast<double>(layout.replicas()) / layout.ep;
            counted /= d.groups();
            EXPECT_NEAR(counted, static_cast<double>(plan.model->parameter_count()), 1e-6);
        }
}

// docs/memory-model.md: of r rows, bf16; P = 2r places, each with the experts' input, gate and up, and what
// their second multiply reads; weights where they are used, and order.
TEST(Experts, KeepWhatTheBackwardPassReads) {
    const std::int64_t rows = 2 * kTinySeq, places = 2 * rows;
    const std::int64_t attention =
        2 * rows * (4 * kTinyHidden + (2 * 4 + 2 * 2) * 6) + 4 * rows * (2 + 4);
    for (const int ep : {1, 2}) {
        const std::int64_t routed =
            2 * places * (kTinyHidden + 3 * 20) + 4 * rows * 8 + 4 * places + 4 * places;
        Scenario s = scenario_of(mixture(), {1, 1, 2, ep, 0});
        s.cluster.device.kind = DeviceKind::gpu;
        EXPECT_EQ(test::saved_by_a_block(test::lower_tiny(s)), attention + routed) << ep;
        s = scenario_of(mixture(12), {1, 1, 2, ep, 0});
        s.cluster.device.kind = DeviceKind::gpu;
        EXPECT_EQ(test::saved_by_a_block(test::lower_tiny(s)),
                  attention + routed + 2 * rows * 3 * 12)
            << ep;
    }
}

// Latent attention keeps its input, both short vectors before and behind their norms, and heads: queries
// and keys of 8 + 4, values of 6.
TEST(LatentAttention, KeepsItsShortVectors) {
    TransformerSpec spec = std::get<TransformerSpec>(latent(14).kind);
    spec.experts = {};
    Scenario s = scenario_of({"latent", spec}, {});
    s.cluster.device.kind = DeviceKind::gpu;
    const std::int64_t rows = 2 * kTinySeq;
    const std::int64_t heads = 4 * (2 * 12 + 6) + 4 * 6, vectors = 2 * 10 + 2 * 14;
    EXPECT_EQ(test::saved_by_a_block(test::lower_tiny(s)),
              2 * rows * (4 * kTinyHidden + heads + vectors + 3 * 36) + 4 * rows * (2 + 2 + 4));
}

template <class Visit>
void for_each_instruction(const Plan& plan, Visit&& visit) {
    for (const RoleProgram& role : plan.program.roles)
        for (const Task& task : role.schedule)
            for (const Instruction& i : role.bodies[task.body.index()].instructions) visit(role, i);
}

// There and back, forward and backward: four times the rows of hidden elements in bf16, and there and back
// the fp32 weights, per layer and micro-batch.
TEST(Experts, SendEveryRowFourTimes) {
    const Plan plan = plan_of_experts(mixture(), {1, 1, 4, 4, 0});
    std::int64_t bytes = 0, calls = 0;
    for_each_instruction(plan, [&](const RoleProgram&, const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        if (c == nullptr || c->kind != CollectiveKind::all_to_all) return;
        EXPECT_EQ(plan.program.groups[c->group.index()].name, "ep");
        EXPECT_EQ(i.stream, Stream::compute);
        bytes += c->bytes().value;
        ++calls;
    });
    const std::int64_t places = 2 * kTinySeq * 2, times = 3 * plan.layout.micro_batches;
    EXPECT_EQ(calls, 6 * times);
    EXPECT_EQ(bytes, times * places * (4 * kTinyHidden * 2 + 2 * 4));
}

// FLOPs of multiplies of all ranks in a step.
double work(const Plan& plan) {
    double sum = 0;
    for_each_instruction(plan, [&](const RoleProgram& role, const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        if (c != nullptr)
            sum += cost_of(c->kernel, c->dtype, c->gradient).matmul.value *
                   static_cast<double>(role.ranks.size());
    });
    return sum;
}

// Every token goes through its own experts wherever they are.
TEST(Experts, WorkDoesNotDependOnWhereTheyAre) {
    for (const ModelSpec& model : models()) {
        const Plan alone = plan_of_experts(model, {1, 1, 4, 1, 0});
        for (const Degrees d : {Degrees{1, 1, 4, 2}, {1, 1, 4, 4}, {1, 3, 4, 2}}) {
            const Plan divided = plan_of_experts(model, d);
            EXPECT_NEAR(work(divided) / work(alone), 1, 1e-12) << model.name << " ep " << d.ep;
        }
        const Plan inner = plan_of_experts(model, {4, 1, 4, 2, 0});  // which pads, whatever ep is
        const Plan whole = plan_of_experts(model, {4, 1, 4, 8, 0, 1});
        EXPECT_NEAR(work(whole) / work(inner), 1, 1e-12) << model.name;
    }
}

// A step computes what Model::training_flops_per_sample says, which counts active experts alone. (Flash
// attention computes its scores again, which is not counted.)
TEST(Experts, ModelFlopsCountWhatTokensGoThrough) {
    Scenario s = scenario_of(mixture(12, true), {});
    s.strategies[0].attention = AttentionKind::unfused;
    const Plan plan = test::lower_tiny(s);
    EXPECT_NEAR(work(plan) / (plan.model->training_flops_per_sample().value *
                              static_cast<double>(s.training.global_batch)),
                1, 1e-12);
    const Model model = build_model(mixture());
    EXPECT_EQ(model.active_parameter_count(),
              model.parameter_count() - 3 * (8 - 2) * 3 * kTinyHidden * 20);
    EXPECT_EQ(build_model({"dense", test::tiny_transformer()}).active_parameter_count(),
              build_model({"dense", test::tiny_transformer()}).parameter_count());
}

TEST(Experts, CapacityScalesWhatTheyGet) {
    TransformerSpec spec = std::get<TransformerSpec>(mixture().kind);
    const double balanced = work(plan_of_experts({"balanced", spec}, {1, 1, 4, 4, 0}));
    spec.experts.capacity_factor = 1.5;
    const double more = work(plan_of_experts({"more", spec}, {1, 1, 4, 4, 0}));
    const double experts = 6.0 * 2 * (3 * kTinyHidden * 20) * 3 * (4 * 4 * kTinySeq);
    EXPECT_NEAR(more - balanced, experts / 2, 1e-6 * experts);
}

struct RefusedExperts {
    std::string model, strategy, message;
};

TEST(Experts, RefusesByName) {
    const std::string sizes = "layers: 3, hidden: 24, heads: 4, ffn: 36, vocab: 50, seq: 16";
    const std::string eight = ", experts: {count: 8, per_token: 2, ffn: 20}";
    const RefusedExperts cases[] = {
        {", experts: {count: 8, per_token: 9, ffn: 20}", "",
         "per_token 9 of 8 experts; use a per_token of at most 8"},
        {", experts: {count: 8, per_tokn: 2, ffn: 20}", "",
         "unknown key \"per_tokn\" in model.transformer.experts; use \"per_token\""},
        {", mlp: gelu" + eight, "", "experts compute swiglu"},
        {", experts: {count: 8, per_token: 2, ffn: 20, first_dense: 3}", "", "no block of 3"},
        {", experts: {count: 8, per_token: 2, ffn: 20, shared_gate: true}", "",
         "shared_gate without shared experts"},
        {", head_dim: 8, latent_attention: {kv_rank: 4, nope_dim: 4, rope_dim: 4, value_dim: 4}",
         "", "\"head_dim\" follows from \"latent_attention\""},
        {", latent_attention: {kv_rank: 4, nope_dim: 4, rope_dim: 3, value_dim: 4}", "",
         "rotary_dim 3 is odd"},
        {"", "ep: 2", "the model has no experts to divide"},
        {eight, "ep: 3", "expert-parallel: test.yaml:4:14: ep 3 does not divide dp 8"},
        {", experts: {count: 6, per_token: 2, ffn: 20}", "ep: 4",
         "6 experts do not divide over ep 4; use an ep that divides 6"},
        {eight, "tp: 2", "without sequence parallelism"},
        {eight, "tp: 4, sequence_parallel: true, ep: 8",
         "ep 8 does not divide dp 2: data-parallel ranks share the experts; use ep 1 or 2, or etp "
         "1"},
        {eight, "tp: 4, sequence_parallel: true, etp: 3", "etp 3 does not divide tp 4"},
        {eight, "tp: 4, sequence_parallel: true, ep: 8, etp: 2",
         "ep 8 does not divide tp / etp · dp 4: these ranks share the experts; use ep 1, 2 or 4"},
        {eight, "zero: 3, ep: 8, shard_group: 4",
         "shard_group 4 with ep 8: the 4 ranks of a group that share the experts do not divide "
         "into "
         "expert-parallel groups; use a shard_group that is a multiple of 8, or ep 1, 2 or 4"},
        // Not first what would divide experts that are not there.
        {"", "etp: 2", "etp 2, but the model has no experts to divide; leave out etp"},
        {"", "ep: 3", "ep 3, but the model has no experts to divide; leave out ep"},
        {"", "tp: 2, etp: 1", "etp 1, but the model has no experts to divide"},
    };
    for (const RefusedExperts& c : cases) {
        const std::string text = "model: {transformer: {" + sizes + c.model +
                                 "}}\ntraining: {global_batch: 8}\n"
                                 "cluster: {gpu: h100-sxm, nodes: 1}\nstrategies: [{name: x" +
                                 (c.strategy.empty() ? "" : ", " + c.strategy) + "}]\n";
        const std::string message = test::refusal_of(text);
        EXPECT_NE(message.find(c.message), std::string::npos)
            << text << "  wanted: " << c.message << "\n  got: " << message;
    }
}

}  // namespace
}  // namespace shardscope
