// One golden Program and MemoryPlan per strategy dimension, small enough to be read: a change of
// lowering shows as a difference of text.
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

struct GoldenCase {
    const char* file;
    int ranks = 2, zero = 0;
    std::int64_t micro_batch = 12;
    double clip = 0;
    DType precision = DType::fp32;
    ReduceAt reduce_at = ReduceAt::by_stage;
};

void expect_plan(const Scenario& scenario, const char* file) {
    const Plan plan = test::lower_tiny(scenario);
    std::string text = to_text(plan.program);
    for (std::size_t r = 0; r < plan.program.roles.size(); ++r)
        text += "\nmemory\n" + to_text(plan.program.roles[r], plan.memory[r]);
    test::expect_golden(file, text);
}

void expect_program(const ModelSpec& model, const GoldenCase& c) {
    Scenario s = test::tiny_scenario(model, c.ranks);
    s.training.micro_batch = c.micro_batch;
    s.training.clip = c.clip;
    s.training.precision = c.precision;
    s.strategies[0].zero = c.zero;
    s.strategies[0].bucket = Bytes(3000);
    s.strategies[0].reduce_at = c.reduce_at;
    expect_plan(s, c.file);
}

TEST(GoldenProgram, Mlp) {
    using enum ReduceAt;
    for (const GoldenCase& c :
         {GoldenCase{"mlp_one_rank.program", 1, 0, 24}, GoldenCase{"mlp_ddp.program"},
          GoldenCase{"mlp_ddp_accumulation_clip.program", 2, 0, 4, 1.0},
          GoldenCase{"mlp_ddp_reduce_every_micro_batch.program", 2, 0, 6, 0, DType::fp32,
                     micro_batch},
          GoldenCase{"mlp_zero1.program", 2, 1},
          GoldenCase{"mlp_zero2_accumulation.program", 2, 2, 4},
          GoldenCase{"mlp_zero3_clip.program", 2, 3, 12, 1.0},
          GoldenCase{"mlp_zero3_bf16.program", 2, 3, 12, 0, DType::bf16}})
        expect_program(test::tiny_mlp(), c);
}

// The middle layer's matrix is Muon's, all else AdamW's; Adafactor adds up what the shards' rows have.
TEST(GoldenProgram, MatrixOptimizers) {
    for (const auto& [kind, file] : {std::pair{OptimizerKind::muon, "mlp_zero1_muon.program"},
                                     {OptimizerKind::adafactor, "mlp_zero1_adafactor.program"}}) {
        Scenario s = test::tiny_scenario(test::tiny_mlp(), 2);
        s.training.micro_batch = 12;
        s.training.optimizer.kind = kind;
        s.training.optimizer.beta1 = 0;
        s.strategies[0].zero = 1;
        expect_plan(s, file);
    }
}

TEST(GoldenProgram, Transformers) {
    expect_program(test::tiny_gpt(), {"gpt_one_rank.program", 1, 0, 24});
    expect_program(test::tiny_gpt(), {"gpt_zero3.program", 2, 3});
    expect_program(test::tiny_llama(), {"llama_zero2.program", 2, 2});
}

ModelSpec small_llama() {
    ModelSpec spec = test::tiny_llama();
    std::get<LlamaSpec>(spec.kind).layers = 1;
    return spec;
}

Scenario model_parallel(const ModelSpec& model, int tp, int pp, int dp, std::int64_t micro_batch) {
    Scenario s = test::tiny_scenario(model, tp * pp * dp);
    s.training.micro_batch = micro_batch;
    s.strategies[0].tp = tp;
    s.strategies[0].pp = pp;
    s.strategies[0].bucket = Bytes(3000);
    return s;
}

Scenario golden_offloaded(const ModelSpec& model, int zero, std::int64_t micro_batch) {
    Scenario s = test::tiny_scenario(model, 2);
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = 2;
    s.training.precision = DType::bf16;
    s.training.micro_batch = micro_batch;
    s.strategies[0].zero = zero;
    s.strategies[0].bucket = Bytes(3000);
    return s;
}

TEST(GoldenProgram, Offload) {
    Scenario s = golden_offloaded(test::tiny_mlp(), 2, 4);
    s.training.clip = 1.0;
    s.strategies[0].offload.optimizer = OffloadTo::cpu;
    expect_plan(s, "mlp_zero2_offload_accumulation_clip.program");
    s = golden_offloaded(test::tiny_mlp(), 3, 12);
    s.strategies[0].offload = {OffloadTo::nvme, OffloadTo::nvme, OffloadTo::none};
    expect_plan(s, "mlp_zero3_offload_nvme.program");
    ModelSpec two_blocks = test::tiny_llama();
    std::get<LlamaSpec>(two_blocks.kind).layers = 2;
    s = golden_offloaded(two_blocks, 0, 12);
    s.strategies[0].recompute = {Recompute::Kind::full, 1};
    s.strategies[0].offload.activations = OffloadTo::cpu;
    expect_plan(s, "llama_checkpoints_offload.program");
}

TEST(GoldenProgram, ZeroPlusPlus) {
    Scenario s = test::tiny_scenario(test::tiny_mlp(), 4);
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.nodes = s.cluster.gpus_per_node = 2;
    s.training.precision = DType::bf16;
    s.training.micro_batch = 3;
    Strategy& strategy = s.strategies[0];
    strategy.zero = 3;
    strategy.quantized_weights = strategy.quantized_gradients = true;
    strategy.secondary_shard = 2;
    expect_plan(s, "mlp_zero3_quantised_secondary.program");
}

TEST(GoldenProgram, TensorParallel) {
    Scenario s = model_parallel(small_llama(), 4, 1, 1, 24);
    s.training.clip = 1.0;
    expect_plan(s, "llama_tp4_clip.program");
    s.strategies[0].sequence_parallel = true;
    s.strategies[0].recompute = {Recompute::Kind::full, 1};
    expect_plan(s, "llama_tp4_sp_recompute.program");
    expect_plan(model_parallel(test::tiny_mlp(), 2, 1, 2, 12), "mlp_tp2_dp2.program");
}

TEST(GoldenProgram, Pipelines) {
    Scenario s = model_parallel(test::tiny_mlp(), 1, 2, 1, 8);
    expect_plan(s, "mlp_pp2_1f1b.program");
    s.strategies[0].schedule = Schedule::gpipe;
    expect_plan(s, "mlp_pp2_gpipe.program");
    s.strategies[0].schedule = Schedule::zero_bubble;
    expect_plan(s, "mlp_pp2_zb.program");
    s.strategies[0].schedule = Schedule::one_f_one_b;
    s.strategies[0].virtual_stages = 2;
    expect_plan(s, "mlp_pp2_interleaved.program");
    s.strategies[0].virtual_stages = 1;
    s.strategies[0].schedule = Schedule::zero_bubble_v;
    expect_plan(s, "mlp_pp2_zbv.program");
}

TEST(GoldenProgram, Hybrids) {
    Scenario s = model_parallel(test::tiny_mlp(), 2, 2, 2, 6);
    s.training.clip = 1.0;
    s.strategies[0].zero = 2;
    expect_plan(s, "mlp_tp2_pp2_zero2.program");
    ModelSpec gpt = test::tiny_gpt();
    std::get<GptSpec>(gpt.kind).layers = 1;
    Scenario tied = model_parallel(gpt, 1, 2, 2, 12);
    tied.strategies[0].zero = 1;
    tied.training.clip = 1.0;
    expect_plan(tied, "gpt_pp2_zero1_tied.program");
}

ModelSpec small_mixture() {
    TransformerSpec spec = test::tiny_transformer();
    spec.layers = 1;
    spec.experts = {4, 2, 20, 12, true};
    return {"mixture", spec};
}

TEST(GoldenProgram, Experts) {
    Scenario s = model_parallel(small_mixture(), 1, 1, 4, 6);
    s.training.clip = 1.0;
    s.strategies[0].zero = 1;
    s.strategies[0].ep = 2;
    expect_plan(s, "experts_ep2_zero1_clip.program");
    s = model_parallel(small_mixture(), 2, 1, 2, 12);
    s.strategies[0].sequence_parallel = true;
    s.strategies[0].ep = 2;
    expect_plan(s, "experts_tp2_ep2.program");
    s.strategies[0].dispatcher = Dispatcher::all_gather;
    expect_plan(s, "experts_tp2_ep2_allgather.program");
}

TEST(GoldenProgram, DeepEpBesideSharedExperts) {
    ModelSpec model = small_mixture();
    std::get<TransformerSpec>(model.kind).hidden = 128;
    std::get<TransformerSpec>(model.kind).head_dim = 6;
    Scenario s = model_parallel(model, 1, 1, 4, 6);
    s.strategies[0].ep = 2;
    s.strategies[0].dispatcher = Dispatcher::deepep;
    s.strategies[0].dispatch_precision = DispatchPrecision::fp8;
    s.strategies[0].overlap_shared_experts = true;
    expect_plan(s, "experts_ep2_deepep_fp8_overlap.program");
}

TEST(GoldenProgram, LatentAttention) {
    ModelSpec model = small_mixture();
    auto& spec = std::get<TransformerSpec>(model.kind);
    spec.experts = {};
    spec.kv_heads = 0;
    spec.latent = {10, 14, 8, 4, 6};
    Scenario s = model_parallel(model, 2, 1, 1, 24);
    s.strategies[0].sequence_parallel = true;
    expect_plan(s, "latent_tp2_sp.program");
}

TEST(GoldenProgram, OperandsInEightBits) {
    ModelSpec model = small_mixture();
    std::get<TransformerSpec>(model.kind).experts = {};
    Scenario s = model_parallel(model, 2, 1, 1, 2);
    s.training.set_precision(MathType::fp8);
    s.training.global_batch = 4;
    set_profile(s.strategies[0], RuntimeProfile::megatron);
    s.strategies[0].sequence_parallel = true;
    expect_plan(s, "megatron_tp2_sp_fp8.program");
}

}  // namespace
}  // namespace shardscope
