// Multiplies in 8 and 4 bits whose operands are tensors (Transformer Engine's): what a block keeps of them, copies of
// weights, what is gathered, against closed forms.
#include <map>

#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/program/memory_plan.h"
#include "tests/core/plan_facts.h"
#include "tests/core/profile_plans.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

constexpr std::int64_t kCastHidden = 256, kCastSeq = 128, kCastHeads = 8, kCastBatch = 2,
                       kCastLayers = 3;
constexpr std::int64_t kCastFfn = 640, kCastKvHeads = 2, kCastHeadDim = kCastHidden / kCastHeads;
constexpr std::int64_t kCastRows = kCastSeq * kCastBatch;

struct CastCase {
    RuntimeProfile profile = RuntimeProfile::megatron;
    std::optional<MathType> math = {};
    bool gated = false;
    int tp = 1;
    bool sequence_parallel = false;
    Recompute::Kind recompute = Recompute::Kind::none;
    Architecture architecture = Architecture::hopper;
    std::int64_t micro_batches = 1;
};

Scenario cast_scenario(const CastCase& b) {
    ModelSpec model;
    if (b.gated) {
        LlamaSpec llama;
        llama.layers = kCastLayers;
        llama.hidden = kCastHidden;
        llama.heads = kCastHeads;
        llama.kv_heads = kCastKvHeads;
        llama.ffn = kCastFfn;
        llama.vocab = 64;
        llama.seq = kCastSeq;
        model = {"llama", llama};
    } else {
        GptSpec gpt;
        gpt.layers = kCastLayers;
        gpt.hidden = kCastHidden;
        gpt.heads = kCastHeads;
        gpt.vocab = 64;
        gpt.seq = kCastSeq;
        model = {"gpt", gpt};
    }
    Scenario s = test::tiny_scenario(model, b.tp);
    s.cluster.device.kind = DeviceKind::gpu;
    s.cluster.device.architecture = b.architecture;
    s.training.precision = DType::bf16;
    s.training.math = b.math;
    s.training.micro_batch = kCastBatch;
    s.training.global_batch = kCastBatch * b.micro_batches;
    Strategy& strategy = s.strategies[0];
    set_profile(strategy, b.profile);
    strategy.tp = b.tp;
    strategy.sequence_parallel = b.sequence_parallel;
    strategy.recompute.kind = b.recompute;
    return s;
}

std::int64_t saved_cast(const CastCase& b) {
    const Plan plan = test::lower_tiny(cast_scenario(b));
    std::vector<MemoryPlan> arenas;
    for (const RoleProgram& role : plan.program.roles)
        arenas.push_back(plan_memory(role, Bytes(0)));
    check_program(plan.program, arenas);
    return test::saved_by_a_block(plan);
}

// Of so many elements, in sixteenths of a byte: a byte; a byte and one per 32; half a byte and one per 16.
std::int64_t cast_bytes(MathType math, std::int64_t elements) {
    if (math == MathType::nvfp4) return elements / 2 + elements / 16;
    return elements + (math == MathType::mxfp8 ? elements / 32 : 0);
}

constexpr std::array kCastFormats{MathType::fp8, MathType::mxfp8, MathType::nvfp4};

// A GPT's block in 16 bits keeps 16 rows of h (f = 4h): its input, that of the second norm, q, k, v, attention's
// output and the value before GELU stay so; inputs of the four multiplies are kept as they are cast. Where scales are
// not of steps before, attention's output serves the projection as well.
TEST(CastOperands, ABlockKeepsThemInPlaceOfSixteenBits) {
    for (const bool gated : {false, true})
        for (const int tp : {1, 2})
            for (const bool sequence_parallel : {false, true}) {
                if (sequence_parallel && tp == 1) continue;
                const std::int64_t local = sequence_parallel ? kCastRows / tp : kCastRows;
                const std::int64_t ffn = (gated ? kCastFfn : 4 * kCastHidden) / tp;
                const std::int64_t attention = kCastHidden / tp;
                const std::int64_t qkv =
                    (kCastHidden + 2 * (gated ? kCastKvHeads * kCastHeadDim : kCastHidden)) / tp;
                const std::int64_t masks = gated ? 0 : 2 * local * kCastHidden;  // of dropout
                const std::int64_t wide = masks + 2 * local * 2 * kCastHidden +
                                          2 * kCastRows * (qkv + attention + (gated ? 2 : 1) * ffn);
                const std::int64_t statistics =
                    4 * local * (gated ? 2 : 4) + 4 * kCastRows * kCastHeads / tp;
                CastCase b{.gated = gated, .tp = tp, .sequence_parallel = sequence_parallel};
                EXPECT_EQ(saved_cast(b),
                          wide + statistics + 2 * local * 2 * kCastHidden + 2 * kCastRows * ffn);
                for (const MathType math : kCastFormats) {
                    b.math = math;
                    const std::int64_t norms = 2 * cast_bytes(math, local * kCastHidden);
                    const std::int64_t projection =
                        math == MathType::fp8 ? cast_bytes(math, kCastRows * attention) : 0;
                    EXPECT_EQ(saved_cast(b), wide + statistics + norms + projection +
                                                 cast_bytes(math, kCastRows * ffn))
                        << name_of(math) << " tp " << tp << (gated ? " gated" : "");
                }
            }
}

TEST(CastOperands, RecomputationKeepsNoneOfWhatItMakesAgain) {
    for (const MathType math : kCastFormats) {
        SCOPED_TRACE(name_of(math));
        CastCase b{.math = math, .recompute = Recompute::Kind::full};
        EXPECT_EQ(saved_cast(b), 2 * kCastRows * kCastHidden);
        b.recompute = Recompute::Kind::none;
        const std::int64_t all = saved_cast(b);
        b.recompute = Recompute::Kind::selective;
        // The projection is not done again, so that its copy stays.
        EXPECT_EQ(saved_cast(b), all - 2 * kCastRows * kCastHidden - 4 * kCastRows * kCastHeads);
    }
}

TEST(CastOperands, OtherProgramsKeepSixteenBits) {
    for (const RuntimeProfile profile :
         {RuntimeProfile::shardscope, RuntimeProfile::fsdp, RuntimeProfile::fsdp_compile,
          RuntimeProfile::deepspeed, RuntimeProfile::megatron_2021}) {
        CastCase b{.profile = profile, .gated = true};
        const std::int64_t wide = saved_cast(b);
        b.math = MathType::fp8;
        EXPECT_EQ(saved_cast(b), wide) << name_of(profile);
    }
}

// Elements of the matrices of all blocks that a rank multiplies with.
std::int64_t cast_matrices(const CastCase& b) {
    const std::int64_t kv = b.gated ? kCastKvHeads * kCastHeadDim : kCastHidden;
    const std::int64_t mlp = b.gated ? 3 * kCastFfn : 2 * 4 * kCastHidden;
    return kCastLayers * kCastHidden * (2 * kCastHidden + 2 * kv + mlp) / b.tp;
}

TEST(CastOperands, CopiesOfWeightsStayBesideThem) {
    for (const bool gated : {false, true})
        for (const int tp : {1, 2})
            for (const Architecture architecture :
                 {Architecture::hopper, Architecture::blackwell}) {
                CastCase b{.gated = gated, .tp = tp, .architecture = architecture};
                const auto parameters = [&] {
                    return test::kept(test::lower_tiny(cast_scenario(b)).program.roles[0],
                                      Category::parameters);
                };
                b.math.reset();
                const std::int64_t wide = parameters();
                for (const MathType math : kCastFormats) {
                    b.math = math;
                    // One scale: Blackwell's multiplies read one copy either way.
                    const bool one =
                        math == MathType::fp8 && architecture == Architecture::blackwell;
                    EXPECT_EQ(parameters() - wide,
                              (one ? 1 : 2) * cast_bytes(math, cast_matrices(b)))
                        << name_of(math);
                }
            }
}

// By whether what they write stays from step to step.
std::map<Residence, std::int64_t> casts_of(const CastCase& b) {
    const Plan plan = test::lower_tiny(cast_scenario(b));
    const RoleProgram& role = plan.program.roles[0];
    std::map<Residence, std::int64_t> found;
    test::for_each_scheduled(role, [&](const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        if (c != nullptr && std::holds_alternative<QuantiseOperand>(c->kernel))
            ++found[role.buffers[c->operands[1].valid() ? c->operands[1].buffer.index()
                                                        : c->operands[2].buffer.index()]
                        .residence];
    });
    return found;
}

// Four multiplies of a block cast an input and a gradient each for every micro-batch, and four weights.
TEST(CastOperands, WeightsAreCastOnceAStepWhereCopiesStay) {
    CastCase b{.math = MathType::fp8, .micro_batches = 4};
    const auto megatron = casts_of(b);
    EXPECT_EQ(megatron.at(Residence::persistent), kCastLayers * 4);
    EXPECT_EQ(megatron.at(Residence::transient), kCastLayers * 8 * b.micro_batches);
    b.profile = RuntimeProfile::llm_foundry;
    const auto foundry = casts_of(b);
    EXPECT_FALSE(foundry.contains(Residence::persistent));
    EXPECT_EQ(foundry.at(Residence::transient), kCastLayers * 12 * b.micro_batches);
}

// Every multiply of a block reads tensors that are cast and laid out; the classifier does not.
TEST(CastOperands, MultipliesReadThem) {
    const Plan plan = test::lower_tiny(cast_scenario({.math = MathType::mxfp8, .gated = true}));
    const RoleProgram& role = plan.program.roles[0];
    int cast = 0, wide = 0;
    test::for_each_scheduled(role, [&](const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        if (c == nullptr) return;
        const bool linear = std::holds_alternative<Linear>(c->kernel),
                   input = std::holds_alternative<LinearInputGrad>(c->kernel),
                   weight = std::holds_alternative<LinearWeightGrad>(c->kernel);
        if (!linear && !input && !weight) return;
        const bool block = i.layer >= 1 && i.layer <= kCastLayers;
        (block ? cast : wide) += 1;
        EXPECT_EQ(c->laid_out, block);
        EXPECT_EQ(c->math.has_value(), block);
        for (const std::size_t operand : {0, 1})
            EXPECT_EQ(role.buffers[c->operands[operand].buffer.index()].dtype,
                      block ? DType::int8 : DType::bf16);
    });
    EXPECT_EQ(cast, kCastLayers * 4 * 3);
    EXPECT_EQ(wide, 3);
}

// Routers and the gate of shared experts multiply in 16 bits.
TEST(CastOperands, RoutersStayWide) {
    TransformerSpec spec = test::tiny_transformer();
    spec.experts = {8, 2, 20};
    Scenario s = test::tiny_scenario({"experts", spec}, 2);
    s.training.precision = DType::bf16;
    for (const RuntimeProfile profile : {RuntimeProfile::megatron, RuntimeProfile::fsdp}) {
        s.training.math = MathType::fp8;
        set_profile(s.strategies[0], profile);
        const Plan plan = test::lower_tiny(s);
        int routers = 0;
        test::for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Compute>(&i.operation);
            const auto* linear = c == nullptr ? nullptr : std::get_if<Linear>(&c->kernel);
            if (linear == nullptr || linear->out != 8) return;
            ++routers;
            EXPECT_FALSE(c->math.has_value());
        });
        EXPECT_GT(routers, 0);
    }
}

std::int64_t saved_mixture(const TransformerSpec& spec, std::optional<MathType> math) {
    Scenario s = test::tiny_scenario({"mixture", spec}, 1);
    s.cluster.device.kind = DeviceKind::gpu;
    s.training.micro_batch = s.training.global_batch = 2;
    s.training.precision = DType::bf16;
    s.training.math = math;
    set_profile(s.strategies[0], RuntimeProfile::megatron);
    return test::saved_by_a_block(test::lower_tiny(s));
}

// The router's input stays in 16 bits; shared experts cast it, and keep a copy where scales are of steps before. What
// experts read of it and what their second multiply reads are cast.
TEST(CastOperands, OfExpertsToo) {
    TransformerSpec spec = test::tiny_transformer();
    const std::int64_t rows = 2 * spec.seq, h = spec.hidden, places = 2 * rows;
    const std::int64_t attention = spec.heads * 6;
    for (const std::int64_t shared : {0, 16}) {
        spec.experts = {8, 2, 16, shared};
        const std::int64_t wide = saved_mixture(spec, {});
        const auto saves = [&](MathType math, std::int64_t n) {
            return 2 * n - cast_bytes(math, n);
        };
        const auto experts = [&](MathType math) {
            return saves(math, places * h) + saves(math, places * 16) + saves(math, rows * shared);
        };
        EXPECT_EQ(wide - saved_mixture(spec, MathType::fp8),
                  experts(MathType::fp8) + saves(MathType::fp8, rows * h) - rows * attention -
                      (shared > 0 ? rows * h : 0));
        for (const MathType math : {MathType::mxfp8, MathType::nvfp4})
            EXPECT_EQ(wide - saved_mixture(spec, math), experts(math) + saves(math, rows * h));
    }
}

// Outputs of the norms behind what compresses are cast, their inputs and heads stay in 16 bits.
TEST(CastOperands, OfLatentAttentionToo) {
    TransformerSpec spec = test::tiny_transformer();
    spec.kv_heads = 0;
    spec.latent = {16, 32, 8, 4, 6};
    const std::int64_t rows = 2 * spec.seq, values = spec.heads * 6;
    const std::int64_t inputs = rows * (2 * spec.hidden + 16 + 32 + spec.ffn);
    EXPECT_EQ(saved_mixture(spec, {}) - saved_mixture(spec, MathType::fp8), inputs - rows * values);
}

// Elements of 8-bit gathers of the second layer, and of 16-bit ones.
std::map<DType, std::int64_t> cast_gathers(std::optional<MathType> math, TensorOverlap overlap) {
    CastCase b{.math = math, .tp = 2, .sequence_parallel = true};
    Scenario s = cast_scenario(b);
    s.strategies[0].tp_overlap = overlap;
    const Plan plan = test::lower_tiny(s);
    std::map<DType, std::int64_t> found;
    test::for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        if (c != nullptr && c->kind == CollectiveKind::all_gather && i.layer == 1)
            found[c->dtype] += c->elements;
    });
    return found;
}

// Inputs of two multiplies in the forward pass and again for their weight gradients, and gradients of two outputs: six
// gathers of all rows. Gradients with a scale per block come both ways.
TEST(CastOperands, RanksSendThemAsTheyAreCast) {
    constexpr std::int64_t kAll = kCastRows * kCastHidden;
    for (const TensorOverlap overlap : {TensorOverlap::none, TensorOverlap::gradients}) {
        using Found = std::map<DType, std::int64_t>;
        EXPECT_EQ(cast_gathers({}, overlap), (Found{{DType::bf16, 6 * kAll}}));
        EXPECT_EQ(cast_gathers(MathType::fp8, overlap), (Found{{DType::int8, 6 * kAll}}));
        for (const MathType math : {MathType::mxfp8, MathType::nvfp4})
            EXPECT_EQ(cast_gathers(math, overlap),
                      (Found{{DType::int8, 8 * cast_bytes(math, kAll)}}));
    }
}

// Without copies that stay a block's weights are cast with its inputs and kept until its backward pass, unless the
// block is computed again: so in llm-foundry. The transpose is for the input gradient alone.
TEST(CastOperands, OtherwiseWeightsAreKeptWithTheBlock) {
    CastCase b{.profile = RuntimeProfile::llm_foundry};
    const std::int64_t wide = saved_cast(b);
    b.math = MathType::fp8;
    const std::int64_t inputs = kCastRows * (3 * kCastHidden + 4 * kCastHidden);
    EXPECT_EQ(saved_cast(b),
              wide - 2 * kCastRows * 6 * kCastHidden + inputs + cast_matrices(b) / kCastLayers);
    b.recompute = Recompute::Kind::full;
    EXPECT_EQ(saved_cast(b), 2 * kCastRows * kCastHidden);
}

TEST(CastOperands, ACastReadsSixteenBitsAndWritesBothCopies) {
    const QuantiseOperand both{1024, 32, 8};
    const KernelCost cost = cost_of(both, DType::bf16, DType::bf16);
    EXPECT_EQ(cost.read, Bytes(2048));
    EXPECT_EQ(cost.written, Bytes(2 * (1024 + 32)));
    QuantiseOperand one{1024, 16, 4};
    one.rows = false;
    EXPECT_EQ(cost_of(one, DType::bf16, DType::bf16).written, Bytes(512 + 64));
}

}  // namespace
}  // namespace shardscope
