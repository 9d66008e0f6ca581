// What optimizers keep between steps, to the byte, by formulas that are written here from the model's shapes;
// and how those that want whole matrices put them together under ZeRO.
#include <algorithm>
#include <array>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/lowering/optimizer_rules.h"
#include "core/program/check.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::kept;
using testing::HasSubstr;

using enum OptimizerKind;
constexpr std::array kNewOptimizers = {adam_8bit, lion, adafactor, muon};

// A GPT whose matrices are on either side of the 4096 elements below which nothing is quantised.
constexpr std::int64_t kSteppedLayers = 2, kSteppedHidden = 64, kSteppedVocab = 128,
                       kSteppedSeq = 16;

Scenario optimizer_scenario(OptimizerKind kind, int zero, int tp, int ranks) {
    GptSpec spec;
    spec.layers = kSteppedLayers;
    spec.hidden = kSteppedHidden;
    spec.heads = 4;
    spec.vocab = kSteppedVocab;
    spec.seq = kSteppedSeq;
    Scenario s = test::tiny_scenario({"gpt", spec}, ranks);
    s.training.optimizer.kind = kind;
    s.training.optimizer.beta1 = kind == adafactor ? 0 : 0.9;
    s.training.micro_batch = 2;
    s.strategies[0].zero = zero;
    s.strategies[0].tp = tp;
    return s;
}

// A parameter as one of `t` tensor-parallel ranks has it.
struct Tensor {
    std::int64_t rows = 0, cols = 0;  // no rows: a vector of `cols`
    bool hidden = false;              // a matrix of a block
    std::int64_t elements() const { return std::max<std::int64_t>(rows, 1) * cols; }
};
using Tensors = std::vector<Tensor>;

std::vector<Tensors> layers_of(std::int64_t t) {
    constexpr std::int64_t h = kSteppedHidden;
    const auto vector = [](std::int64_t n) { return Tensor{0, n}; };
    std::vector<Tensors> layers = {{{kSteppedVocab / t, h}, {kSteppedSeq, h}}};
    for (std::int64_t l = 0; l < kSteppedLayers; ++l)
        layers.push_back({vector(h),
                          vector(h),
                          vector(h),
                          vector(h),
                          {3 * h / t, h, true},
                          vector(3 * h / t),
                          {h, h / t, true},
                          vector(h),
                          {4 * h / t, h, true},
                          vector(4 * h / t),
                          {h, 4 * h / t, true},
                          vector(h)});
    layers.push_back({vector(h), vector(h)});
    return layers;
}

std::int64_t blocks(std::int64_t n) { return (n + 255) / 256; }
std::int64_t share(std::int64_t n, std::int64_t ranks) {
    return ranks == 1 ? n : ((n + ranks - 1) / ranks + 15) / 16 * 16;
}

// Bytes of the states of tensors that ZeRO shards together over `ranks`.
std::int64_t states_of(OptimizerKind kind, const Tensors& together, std::int64_t ranks) {
    std::int64_t mine = 0, adamws = 0, whole = 0, scales = 0;
    for (const Tensor& tensor : together) {
        const std::int64_t n = tensor.elements();
        const bool is_mine = kind == muon ? tensor.hidden : kind == adam_8bit ? n >= 4096 : true;
        (is_mine ? mine : adamws) += n;
        if (is_mine) scales += 2 * blocks(n);
        whole += tensor.rows > 0 ? tensor.rows + tensor.cols : n;
    }
    if (kind == adafactor) return 4 * whole;
    if (kind == lion) return 4 * share(mine, ranks);
    if (ranks > 1) scales = 2 * blocks(share(mine, ranks));
    const std::int64_t own =
        kind == muon ? 4 * share(mine, ranks) : 2 * share(mine, ranks) + 4 * scales;
    return own + 8 * share(adamws, ranks);
}

std::int64_t expected(OptimizerKind kind, int zero, int tp, int dp) {
    const std::vector<Tensors> layers = layers_of(tp);
    std::int64_t bytes = 0;
    if (zero == 3) {
        for (const Tensors& layer : layers) bytes += states_of(kind, layer, dp);
        return bytes;
    }
    Tensors all;
    for (const Tensors& layer : layers) all.insert(all.end(), layer.begin(), layer.end());
    return states_of(kind, all, zero == 0 ? 1 : dp);
}

TEST(Optimizers, KeepWhatTheFormulasSay) {
    for (const OptimizerKind kind : kNewOptimizers)
        for (const int zero : {0, 1, 2, 3})
            for (const int tp : {1, 2})
                for (const int dp : {1, 3, 4}) {
                    const Scenario s = optimizer_scenario(kind, zero, tp, tp * dp);
                    SCOPED_TRACE(std::string(name_of(kind)) + " " +
                                 test::describe(s, s.strategies[0]));
                    const Plan plan = test::lower_tiny(s);
                    EXPECT_EQ(kept(plan.program.roles[0], Category::optimizer_states),
                              expected(kind, dp == 1 ? 0 : zero, tp, dp));
                    EXPECT_NO_THROW(check_program(plan.program, plan.memory));
                }
}

// Beside them lie fp32 master weights, as large as the share.
TEST(Optimizers, KeepTheSameInBf16BesideMasterWeights) {
    for (const OptimizerKind kind : kNewOptimizers) {
        Scenario s = optimizer_scenario(kind, 0, 1, 2);
        s.training.precision = DType::bf16;
        const Plan plan = test::lower_tiny(s);
        EXPECT_EQ(kept(plan.program.roles[0], Category::optimizer_states),
                  expected(kind, 0, 1, 2) + 4 * plan.model->parameter_count())
            << name_of(kind);
    }
}

TEST(Optimizers, AdafactorKeepsAMomentIfAsked) {
    Scenario s = optimizer_scenario(adafactor, 0, 1, 1);
    s.training.optimizer.beta1 = 0.9;
    const Plan plan = test::lower_tiny(s);
    EXPECT_EQ(kept(plan.program.roles[0], Category::optimizer_states),
              expected(adafactor, 0, 1, 1) + 4 * plan.model->parameter_count());
}

TEST(Optimizers, ProgramsHaveNoRacesInHybrids) {
    TransformerSpec mixture = test::tiny_transformer();
    mixture.layers = 4;
    mixture.experts = {4, 2, 20, 12, true};
    for (const OptimizerKind kind : kNewOptimizers)
        for (const ModelSpec& model : {test::tiny_mlp(), test::deep_gpt(), ModelSpec{"e", mixture}})
            for (const int zero : {0, 1, 2, 3})
                for (const int pp : {1, 2}) {
                    Scenario s = test::tiny_scenario(model, 8);
                    s.training.optimizer.kind = kind;
                    s.training.clip = 1.0;
                    s.training.global_batch = 32;
                    s.training.micro_batch = 2;
                    s.training.precision = pp == 2 ? DType::bf16 : DType::fp32;
                    s.strategies[0].zero = zero;
                    s.strategies[0].pp = pp;
                    s.strategies[0].bucket = Bytes(4000);
                    if (model.name == "e") s.strategies[0].ep = 2;
                    SCOPED_TRACE(std::string(name_of(kind)) + " " +
                                 test::describe(s, s.strategies[0]));
                    const Plan plan = test::lower_tiny(s);
                    EXPECT_NO_THROW(check_program(plan.program, plan.memory));
                }
}

struct Sent {
    std::int64_t gathered = 0, summed = 0;  // elements of bf16 updates, of fp32 statistics
};
Sent sent_by_the_optimizer(const Plan& plan) {
    Sent sent;
    for (const Body& body : plan.program.roles[0].bodies)
        for (const Instruction& i : body.instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation);
                c != nullptr && i.phase == Phase::optimizer) {
                if (c->kind == CollectiveKind::all_gather && c->dtype == DType::bf16)
                    sent.gathered += c->elements;
                if (c->kind == CollectiveKind::all_reduce && c->dtype == DType::fp32)
                    sent.summed += c->elements;
            }
    return sent;
}

// Muon's ranks gather all hidden matrices in bf16, Adafactor's add up all statistics and two norms per
// tensor; without ZeRO, and of the others, the optimizer sends nothing.
TEST(Optimizers, SendWhatDividedMatricesNeed) {
    const std::int64_t hidden = 12 * kSteppedHidden * kSteppedHidden * kSteppedLayers;
    const std::int64_t tensors = 2 + 12 * kSteppedLayers + 2;
    for (const int zero : {0, 1, 2, 3}) {
        const auto sent = [zero](OptimizerKind kind) {
            return sent_by_the_optimizer(test::lower_tiny(optimizer_scenario(kind, zero, 1, 4)));
        };
        EXPECT_EQ(sent(muon).gathered, zero > 0 ? hidden : 0);
        EXPECT_EQ(sent(adafactor).summed,
                  zero > 0 ? expected(adafactor, 0, 1, 1) / 4 + 2 * tensors : 0);
        for (const OptimizerKind kind : {adam_8bit, lion}) {
            EXPECT_EQ(sent(kind).gathered, 0);
            EXPECT_EQ(sent(kind).summed, 0);
        }
    }
}

// Products whose shards have rows and columns, or that gather what Muon makes, send the same.
TEST(Optimizers, OfProductsThatFindMatricesInTheirShards) {
    struct Known {
        RuntimeProfile profile;
        OptimizerKind kind;
        int zero;
    };
    for (const auto& [profile, kind, zero] :
         {Known{RuntimeProfile::megatron, muon, 1}, Known{RuntimeProfile::fsdp, muon, 2},
          Known{RuntimeProfile::fsdp, muon, 3}, Known{RuntimeProfile::fsdp, adafactor, 3},
          Known{RuntimeProfile::fsdp_compile, adafactor, 2}}) {
        SCOPED_TRACE(testing::Message() << name_of(profile) << " " << name_of(kind) << zero);
        Scenario s = optimizer_scenario(kind, zero, 1, 4);
        s.training.precision = DType::bf16;
        const Sent ours = sent_by_the_optimizer(test::lower_tiny(s));
        set_profile(s.strategies[0], profile);
        const Plan plan = test::lower_tiny(s);
        const Sent theirs = sent_by_the_optimizer(plan);
        EXPECT_EQ(theirs.gathered, ours.gathered);
        EXPECT_EQ(theirs.summed, ours.summed);
        EXPECT_GT(ours.gathered + ours.summed, 0);
        std::vector<MemoryPlan> arenas;
        for (const RoleProgram& role : plan.program.roles)
            arenas.push_back(plan_memory(role, Bytes(0)));
        EXPECT_NO_THROW(check_program(plan.program, arenas));
    }
}

// Of a 48 × 32 matrix: X·Xᵀ is 2·32·48·32, A·A 2·32·32·32, B·X 2·32·32·48, five times.
TEST(Optimizers, NewtonSchulzMultiplies) {
    const Orthogonalise k{1, 48, 32};
    const KernelCost cost = cost_of(k, DType::bf16, DType::bf16);
    EXPECT_EQ(cost.matmul, Flops(5 * 2.0 * 32 * 32 * (48 + 32 + 48)));
    EXPECT_EQ(k.workspace(), 32 * 32 + 32 * 32 + 48 * 32);
    EXPECT_EQ(cost_of(Orthogonalise{3, 32, 48}, DType::bf16, DType::bf16).matmul,
              Flops(3 * cost.matmul.value));
}

// Every hidden matrix is multiplied on every rank, whole or as tensor parallelism divides it.
TEST(Optimizers, MuonMultipliesEveryHiddenMatrix) {
    for (const int tp : {1, 2}) {
        double expected_flops = 0;
        for (const Tensors& layer : layers_of(tp))
            for (const Tensor& tensor : layer)
                if (tensor.hidden)
                    expected_flops += cost_of(Orthogonalise{1, tensor.rows, tensor.cols},
                                              DType::fp32, DType::fp32)
                                          .matmul.value;
        const Plan plan = test::lower_tiny(optimizer_scenario(muon, 1, tp, 4));
        double flops = 0;
        for (const Body& body : plan.program.roles[0].bodies)
            for (const Instruction& i : body.instructions)
                if (const auto* c = std::get_if<Compute>(&i.operation);
                    c != nullptr && i.phase == Phase::optimizer)
                    flops += cost_of(c->kernel, c->dtype, c->gradient).matmul.value;
        EXPECT_EQ(flops, expected_flops);
    }
}

// The middle of three linear layers is a hidden one.
TEST(Optimizers, MuonLeavesFirstAndLastLayersToAdamW) {
    Scenario s = test::tiny_scenario(test::tiny_mlp(), 1);
    s.training.optimizer.kind = muon;
    const Plan plan = test::lower_tiny(s);
    EXPECT_EQ(kept(plan.program.roles[0], Category::optimizer_states),
              4 * 32 * 17 + 8 * (20 * 32 + 32 + 17 + 17 * 7 + 7));
}

TEST(Optimizers, WholeStatesOfACheckpoint) {
    for (const OptimizerKind kind : kNewOptimizers) {
        const Scenario s = optimizer_scenario(kind, 0, 1, 1);
        const Plan plan = test::lower_tiny(s);
        EXPECT_EQ(optimizer_state_bytes(*plan.model, s.training), expected(kind, 0, 1, 1))
            << name_of(kind);
    }
}

TEST(Optimizers, RefuseWhatMakesNoSense) {
    const auto refusal = [](const Scenario& s) -> std::string {
        try {
            test::lower_tiny(s);
        } catch (const Error& e) {
            return e.rule + ": " + e.what();
        }
        return "accepted";
    };
    Scenario s = optimizer_scenario(muon, 1, 1, 4);
    s.strategies[0].profile = RuntimeProfile::deepspeed;
    EXPECT_THAT(refusal(s), HasSubstr("optimizer: "));
    EXPECT_THAT(refusal(s), HasSubstr("optimizer muon with zero 1 in profile deepspeed"));
    s.training.optimizer.kind = adafactor;
    EXPECT_THAT(refusal(s), HasSubstr("optimizer adafactor with zero 1 in profile deepspeed"));
    s.strategies[0].profile = RuntimeProfile::megatron;
    EXPECT_THAT(refusal(s), HasSubstr("optimizer adafactor with zero 1 in profile megatron"));
    s.strategies[0].profile = RuntimeProfile::llm_foundry;
    EXPECT_THAT(refusal(s), HasSubstr("optimizer adafactor with zero 1 in profile llm-foundry"));
    s.strategies[0].zero = 0;
    EXPECT_EQ(refusal(s), "accepted");
    LayerListSpec two;
    two.items = {{LayerListSpec::Kind::linear, 8, 8, true},
                 {LayerListSpec::Kind::linear, 8, 4, true}};
    s = test::tiny_scenario({"two", two}, 1);
    s.training.optimizer.kind = muon;
    EXPECT_THAT(refusal(s), HasSubstr("the model has none between its first and its last layer"));
}

}  // namespace
}  // namespace shardscope
