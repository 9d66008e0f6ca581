// Context parallelism: what a rank of the group keeps, sends and computes, against formulas; and what is
// refused. Sizes are chosen here, so that every expectation is computed from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::for_each_scheduled;
using test::kHalfBytes;
using test::kStateBytes;
using testing::HasSubstr;

constexpr std::int64_t kContextHidden = 64, kContextHeads = 8, kKvHeads = 4, kDim = 8, kFfn = 96,
                       kContextSeq = 64;
constexpr std::int64_t kContextLayers = 2, kContextBatch = 2;

Scenario context_llama(int ranks, std::int64_t samples_per_rank = kContextBatch) {
    LlamaSpec spec;
    spec.layers = kContextLayers;
    spec.hidden = kContextHidden;
    spec.heads = kContextHeads;
    spec.kv_heads = kKvHeads;
    spec.ffn = kFfn;
    spec.vocab = 128;
    spec.seq = kContextSeq;
    Scenario s = test::tiny_scenario({"llama", spec}, ranks);
    s.cluster.device.kind = DeviceKind::gpu;
    s.training.precision = DType::bf16;
    s.training.micro_batch = kContextBatch;
    s.training.global_batch = samples_per_rank;
    return s;
}

Scenario divided(int cp, ContextKind kind, int tp = 1, int dp = 1) {
    Scenario s = context_llama(cp * tp * dp, kContextBatch * dp);
    Strategy& strategy = s.strategies[0];
    strategy.cp = cp;
    strategy.cp_kind = kind;
    strategy.tp = tp;
    return s;
}

constexpr ContextKind kKinds[] = {ContextKind::ring, ContextKind::all_gather, ContextKind::ulysses};

double matmul_flops_of_all(const Plan& plan) {
    double sum = 0;
    for (const RoleProgram& role : plan.program.roles)
        for_each_scheduled(role, [&](const Instruction& i) {
            if (const auto* c = std::get_if<Compute>(&i.operation))
                sum += static_cast<double>(role.ranks.size()) *
                       cost_of(c->kernel, c->dtype, c->gradient).matmul.value;
        });
    return sum;
}

// Bytes that a rank sends to others of its context-parallel group in a step.
std::int64_t bytes_sent(const Plan& plan) {
    const GroupId cp = group_named(plan.program, kContextGroup);
    const std::int64_t ranks = plan.layout.cp;
    std::int64_t sum = 0;
    for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
        if (const auto* x = std::get_if<Exchange>(&i.operation)) {
            for (const auto& t : x->transfers)
                if (t.group == cp && t.send) sum += t.elements * size_of(t.dtype);
        } else if (const auto* c = std::get_if<Collective>(&i.operation); c && c->group == cp) {
            sum += c->bytes().value * (ranks - 1) / ranks;
        }
    });
    return sum;
}

std::int64_t kept_by_a_block(const Plan& plan) {
    const RoleProgram& role = plan.program.roles[0];
    const auto lives = lifetimes(role);
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < role.buffers.size(); ++i)
        if (role.buffers[i].name.starts_with("blocks.0.") && lives[i].carried)
            sum += role.buffers[i].size().value;
    return sum;
}

std::string context_refusal(const Scenario& scenario) {
    try {
        test::lower_tiny(scenario);
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        return e.what();
    }
    return "accepted";
}

// docs/memory-model.md: a block keeps what it keeps of seq/cp tokens; Ulysses the outputs of all tokens for
// a part of the heads as well.
TEST(ContextParallel, ABlockKeepsItsPartOfTheTokens) {
    for (const ContextKind kind : kKinds)
        for (const int cp : {1, 2, 4}) {
            SCOPED_TRACE(testing::Message() << name_of(kind) << " cp " << cp);
            const std::int64_t rows = kContextBatch * kContextSeq / cp;
            const std::int64_t per_row =
                kHalfBytes * (4 * kContextHidden + (kContextHeads + 2 * kKvHeads) * kDim +
                              kContextHeads * kDim + 3 * kFfn) +
                kStateBytes * (2 + kContextHeads);
            const bool both = kind == ContextKind::ulysses && cp > 1;
            const std::int64_t outputs = both ? kHalfBytes * kContextHeads * kDim : 0;
            EXPECT_EQ(kept_by_a_block(test::lower_tiny(divided(cp, kind))),
                      rows * (per_row + outputs));
        }
}

// With local keys and values of kv bytes, of queries q: the ring passes kv on cp − 1 times and in the backward
// pass kv and its gradient; gathering takes cp − 1 others' kv twice and scatters the gradients; Ulysses
// keeps 1/cp of what it divides.
TEST(ContextParallel, BytesPerLink) {
    for (const int tp : {1, 2})
        for (const std::int64_t cp : {2, 4}) {
            SCOPED_TRACE(testing::Message() << "tp " << tp << " cp " << cp);
            const std::int64_t row = kContextBatch * kContextSeq / cp * kHalfBytes * kDim / tp;
            const std::int64_t kv = 2 * kKvHeads * row, q = kContextHeads * row;
            const auto sent = [&](ContextKind kind) {
                return bytes_sent(test::lower_tiny(divided(static_cast<int>(cp), kind, tp)));
            };
            EXPECT_EQ(sent(ContextKind::ring), kContextLayers * 3 * (cp - 1) * kv);
            EXPECT_EQ(sent(ContextKind::all_gather), kContextLayers * 3 * (cp - 1) * kv);
            if (kKvHeads / tp % cp != 0) continue;
            EXPECT_EQ(sent(ContextKind::ulysses),
                      kContextLayers * 2 * (2 * q + kv) * (cp - 1) / cp);
        }
}

// With fewer key and value heads than ranks each goes to several, as does its gradient.
TEST(ContextParallel, UlyssesCopiesHeadsThatAreFewerThanRanks) {
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::deepspeed})
        for (const std::int64_t kv_heads : {1, 2, 4}) {
            constexpr int kRanks = 8;
            SCOPED_TRACE(testing::Message() << kv_heads << " heads, " << name_of(profile));
            Scenario s = divided(kRanks, ContextKind::ulysses);
            std::get<LlamaSpec>(s.model.kind).kv_heads = kv_heads;
            set_profile(s.strategies[0], profile);
            const Plan plan = test::lower_tiny(s);
            std::vector<MemoryPlan> arenas;
            for (const RoleProgram& role : plan.program.roles)
                arenas.push_back(plan_memory(role, Bytes(0)));
            EXPECT_NO_THROW(check_program(plan.program, arenas));
            const std::int64_t row = kContextBatch * kContextSeq / kRanks * kHalfBytes * kDim;
            const std::int64_t q = kContextHeads * row, kv = 2 * kRanks * row;
            EXPECT_EQ(bytes_sent(plan), kContextLayers * 2 * (2 * q + kv) * (kRanks - 1) / kRanks);
            if (profile == RuntimeProfile::shardscope) {
                const std::int64_t widths =
                    4 * kContextHidden + (3 * kContextHeads + 2 * kRanks) * kDim + 3 * kFfn;
                EXPECT_EQ(kept_by_a_block(plan),
                          kContextBatch * kContextSeq / kRanks *
                              (kHalfBytes * widths + kStateBytes * (2 + kContextHeads)));
            }
            Scenario alone = s;
            alone.strategies[0].cp = 1;
            alone.strategies[0].ranks = 1;
            EXPECT_DOUBLE_EQ(matmul_flops_of_all(plan),
                             matmul_flops_of_all(test::lower_tiny(alone)));
        }
}

// Of latent attention queries and keys travel with their parts that turn (nope + rope), values with their own width;
// what is computed and kept is that of one rank, divided.
TEST(ContextParallel, LatentAttentionSendsItsHeads) {
    constexpr std::int64_t kNope = 8, kRope = 4, kValue = 6;
    TransformerSpec spec = test::tiny_transformer();
    spec.layers = kContextLayers;
    spec.heads = kContextHeads;
    spec.kv_heads = 0;
    spec.seq = kContextSeq;
    spec.latent = {10, 14, kNope, kRope, kValue};
    const auto scenario = [&](int cp, ContextKind kind, RuntimeProfile profile) {
        Scenario s = divided(cp, kind);
        s.model = {"latent", spec};
        s.strategies[0].profile = profile;
        return s;
    };
    const Plan alone = test::lower_tiny(scenario(1, ContextKind::ring, RuntimeProfile::shardscope));
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::megatron})
        for (const ContextKind kind : kKinds)
            for (const int cp : {2, 4}) {
                SCOPED_TRACE(testing::Message() << name_of(kind) << " cp " << cp);
                const Plan plan = test::lower_tiny(scenario(cp, kind, profile));
                std::vector<MemoryPlan> arenas;
                for (const RoleProgram& role : plan.program.roles)
                    arenas.push_back(plan_memory(role, Bytes(0)));
                EXPECT_NO_THROW(check_program(plan.program, arenas));
                EXPECT_NEAR(matmul_flops_of_all(plan) / matmul_flops_of_all(alone), 1, 1e-12);
                const std::int64_t row =
                    kContextBatch * kContextSeq / cp * kContextHeads * kHalfBytes;
                const std::int64_t q = (kNope + kRope) * row, y = kValue * row;
                EXPECT_EQ(bytes_sent(plan),
                          kind == ContextKind::ulysses
                              ? kContextLayers * 2 * (2 * q + 2 * y) * (cp - 1) / cp
                              : kContextLayers * 3 * (cp - 1) * (q + y));
            }
}

// Also where a product repeats keys and values: their copies travel, the multiplies are the same.
TEST(ContextParallel, AllRanksTogetherComputeWhatOneDoes) {
    const double alone = matmul_flops_of_all(test::lower_tiny(context_llama(1)));
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::fsdp})
        for (const ContextKind kind : kKinds)
            for (const int cp : {2, 4}) {
                Scenario s = divided(cp, kind);
                set_profile(s.strategies[0], profile);
                EXPECT_DOUBLE_EQ(matmul_flops_of_all(test::lower_tiny(s)), alone)
                    << name_of(kind) << " cp " << cp << " " << name_of(profile);
            }
    Scenario half = divided(2, ContextKind::ring);
    half.training.global_batch /= 2;
    half.training.micro_batch = half.training.global_batch;
    EXPECT_LT(matmul_flops_of_all(test::lower_tiny(half)), 0.6 * alone)
        << "counts what is computed";
}

TEST(ContextParallel, StatesAreShardedOverDataAndContext) {
    for (const int zero : {1, 2, 3}) {
        Scenario s = divided(4, ContextKind::ring, 1, 2);
        s.strategies[0].zero = zero;
        const Plan plan = test::lower_tiny(s);
        EXPECT_EQ(plan.layout.dp, 2);
        for (const Unit& unit : plan.units[0]) EXPECT_EQ(unit.padded, unit.shard * 4 * 2);
        EXPECT_EQ(plan.program.groups[kDataGroup].size, 8);
    }
}

TEST(ContextParallel, NeighboursAreTensorThenContextRanks) {
    const Plan plan = test::lower_tiny(divided(4, ContextKind::ring, 2, 2));
    const Group& cp = plan.program.groups[group_named(plan.program, kContextGroup).index()];
    EXPECT_EQ(cp.member(Rank(1), 3), Rank(7));
    Exchange::Transfer next;
    next.around = true;
    next.peer = 1;
    EXPECT_EQ(cp.peer(Rank(1), next), Rank(3));
    EXPECT_EQ(cp.peer(Rank(7), next), Rank(1)) << "around";
    next.peer = -1;
    EXPECT_EQ(cp.peer(Rank(8), next), Rank(14));
}

// Events, transfers and the arena of every kind, with all that surrounds attention.
TEST(ContextParallel, ProgramsHold) {
    for (const ContextKind kind : kKinds)
        for (const Schedule schedule :
             {Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::zero_bubble_v})
            for (const auto recompute :
                 {Recompute::Kind::none, Recompute::Kind::selective, Recompute::Kind::full})
                for (const int zero : {0, 3}) {
                    Scenario s = context_llama(16, 8 * kContextBatch);
                    Strategy& strategy = s.strategies[0];
                    strategy.cp = 2;
                    strategy.cp_kind = kind;
                    strategy.tp = 2;
                    strategy.pp = 2;
                    strategy.sequence_parallel = true;
                    strategy.schedule = schedule;
                    strategy.recompute.kind = recompute;
                    strategy.zero = zero;
                    SCOPED_TRACE(test::describe(s, strategy));
                    const Plan plan = test::lower_tiny(s);
                    EXPECT_NO_THROW(check_program(plan.program, plan.memory)) << name_of(kind);
                }
}

TEST(ContextParallel, AttentionThatDoesNotWaitIsFound) {
    Plan plan = test::lower_tiny(divided(4, ContextKind::ring));
    EXPECT_NO_THROW(check_program(plan.program, plan.memory));
    for (Body& body : plan.program.roles[0].bodies)
        std::erase_if(body.instructions, [](const Instruction& i) {
            return i.stream == Stream::context && std::holds_alternative<WaitEvent>(i.operation);
        });
    EXPECT_THROW(check_program(plan.program, plan.memory), Error);
}

TEST(ContextParallel, OfOneRankIsNone) {
    Scenario s = context_llama(2, 2 * kContextBatch);
    const std::string without = to_text(test::lower_tiny(s).program);
    s.strategies[0].cp_kind = ContextKind::ulysses;
    EXPECT_EQ(to_text(test::lower_tiny(s).program), without);
}

TEST(ContextParallel, RefusesWhatDoesNotDivide) {
    const auto with = [](int cp, ContextKind kind, auto change) {
        Scenario s = divided(cp, kind);
        change(s);
        return context_refusal(s);
    };
    const auto seq = [](std::int64_t tokens) {
        return [tokens](Scenario& s) { std::get<LlamaSpec>(s.model.kind).seq = tokens; };
    };
    EXPECT_THAT(
        with(4, ContextKind::ring, seq(60)),
        HasSubstr("context-parallel: strategy ddp: seq 60 does not divide into 2 × cp 4 = 8 "
                  "pieces; use seq 56 or 64, or another cp"));
    EXPECT_EQ(with(4, ContextKind::ulysses, seq(60)), "accepted") << "needs no zig-zag";
    EXPECT_THAT(
        with(8, ContextKind::ulysses,
             [](Scenario& s) {
                 std::get<LlamaSpec>(s.model.kind).hidden = 96;
                 std::get<LlamaSpec>(s.model.kind).heads = 24;
                 std::get<LlamaSpec>(s.model.kind).kv_heads = 3;
             }),
        HasSubstr("blocks.0: 3 key-value heads per rank (tp 1) do not divide over cp 8; use a cp "
                  "that divides 3 or is a multiple of 3, or cp_kind ring or all-gather"));
    EXPECT_THAT(with(2, ContextKind::ring,
                     [](Scenario& s) { s.strategies[0].attention = AttentionKind::unfused; }),
                HasSubstr("cp 2 with unfused attention"));
    EXPECT_THAT(with(2, ContextKind::ring, [](Scenario& s) { s.model = test::tiny_mlp(); }),
                HasSubstr("the model has no sequence to divide"));
    EXPECT_THAT(with(2, ContextKind::ring, [](Scenario& s) { s.strategies[0].cp = 3; }),
                HasSubstr("tp 1 × cp 3 × pp 1 = 3 does not divide 2 ranks; use cp 1 or 2"));
}

}  // namespace
}  // namespace shardscope
