// The models of measured runs, with what is known of those that were released.
#include "core/validation/run_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/model.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::Contains;

struct Mapped {
    TransformerSpec spec;
    std::vector<Assumption> assumed;
};

Mapped model_named(const char* name, bool experts, std::optional<std::int64_t> expert_ffn = {}) {
    MeasuredRun run = full_row();
    run.model = name;
    run.mlp = "silu";
    run.head_dim.reset();
    if (experts) run.experts = 64;
    run.experts_per_token = 2;
    run.expert_ffn = expert_ffn;
    std::vector<Assumption> assumed;
    const ModelSpec model = model_of(run, RuntimeProfile::megatron, 1, assumed);
    return {std::get<TransformerSpec>(model.kind), assumed};
}

TEST(RunModel, HeadsNeedNotBeAsWideTogetherAsTheModel) {
    MeasuredRun run = full_row();
    run.mlp = "swiglu";
    const Model usual = build_model(map_run(run).scenario.model);
    run.head_dim = 128;
    const ModelSpec spec = map_run(run).scenario.model;
    EXPECT_EQ(std::get<TransformerSpec>(spec.kind).head_dim, 128);
    // Of 8 blocks, q, k, v and the projection have another 16 · 64 rows or columns of 1024.
    EXPECT_EQ(build_model(spec).parameter_count() - usual.parameter_count(), 8 * 4 * 1024 * 1024);
}

TEST(RunModel, ReleasedMixturesAreFoundInNames) {
    for (const char* name : {"deepseek-ai DeepSeek-V3", "DeepSeekV3", "deepseek_v3",
                             "DeepSeek V3-0324", "deepseek.v3"}) {
        const TransformerSpec spec = model_named(name, true, 2048).spec;
        EXPECT_EQ(spec.latent.kv_rank, 512) << name;
        EXPECT_EQ(spec.head_dim, 0) << "its heads have widths of their own";
        EXPECT_EQ(spec.experts.shared_ffn, 2048);
        EXPECT_EQ(spec.experts.first_dense, 3);
    }
    for (const char* name : {"DeepSeek-67B", "V3", "Deep", ""})
        EXPECT_EQ(model_named(name, true, 2048).spec.latent.kv_rank, 0) << name;
}

TEST(RunModel, SizesAreNoVersions) {
    const auto head_dim = [](const char* name) { return model_named(name, false).spec.head_dim; };
    for (const char* name : {"Qwen3-8B", "Qwen-3-8B", "qwen 3", "Qwen3", "Qwen3.0"})
        EXPECT_EQ(head_dim(name), 128) << name;
    for (const char* name : {"Qwen 32B", "Qwen-3B", "Qwen1.5-32B"})
        EXPECT_EQ(head_dim(name), 0) << name;
    EXPECT_EQ(head_dim("Gemma2 9B"), 256);
    EXPECT_EQ(head_dim("Gemma-2-27B"), 128);
    EXPECT_EQ(head_dim("Gemma 3 12B"), 256);
    EXPECT_EQ(head_dim("Gemma-2B"), 0);
    EXPECT_EQ(head_dim("Gemma 27B"), 0);
}

TEST(RunModel, WhatIsOpenOfAReleaseIsAsReleased) {
    const auto open = [](const char* name, std::int64_t layers, std::int64_t hidden) {
        MeasuredRun run = full_row();
        run.model = name;
        run.layers = layers;
        run.hidden = hidden;
        run.heads = hidden / 128;
        run.mlp = "";
        run.ffn.reset();
        run.kv_heads.reset();
        run.tied_embeddings.reset();
        std::vector<Assumption> assumed;
        const ModelSpec model = model_of(run, RuntimeProfile::megatron, 1, assumed);
        return Mapped{std::get<TransformerSpec>(model.kind), assumed};
    };
    const Mapped llama = open("Meta-Llama-3.1-8B", 32, 4096);
    EXPECT_EQ(llama.spec.mlp, Mlp::swiglu);
    EXPECT_EQ(llama.spec.ffn, 14336);
    EXPECT_EQ(llama.spec.kv_heads, 8);
    EXPECT_FALSE(llama.spec.tied_embeddings);
    for (const Assumption& said : {Assumption{"mlp", "swiglu"}, Assumption{"ffn", "14336"},
                                   Assumption{"kv_heads", "8"}, Assumption{"tied_embeddings", "0"}})
        EXPECT_THAT(llama.assumed, Contains(said));
    EXPECT_EQ(open("qwen2.5 1.5B", 28, 1536).spec.tied_embeddings, true);
    EXPECT_EQ(open("Gemma 2 9B", 42, 3584).spec.mlp, Mlp::geglu);
    const Mapped other = open("Llama-3-8B, cut to 16 layers", 16, 4096);
    EXPECT_EQ(other.spec.mlp, Mlp::gelu) << "no release";
    EXPECT_EQ(other.spec.kv_heads, 32);
}

// As the importer of their config.json has it (hf_families.cpp, hf_experts.cpp).
TEST(RunModel, NormsAndBiasesAreAsReleased) {
    const Mapped qwen3 = model_named("Qwen3-8B", false);
    EXPECT_TRUE(qwen3.spec.qk_norm);
    EXPECT_FALSE(qwen3.spec.qkv_bias);
    EXPECT_THAT(qwen3.assumed,
                Contains((Assumption{"model", "Qwen3's norms of queries and keys"})));
    EXPECT_TRUE(model_named("Qwen3-30B-A3B", true).spec.qk_norm);
    EXPECT_TRUE(model_named("gemma-3-4b-it", false).spec.qk_norm);
    for (const char* name : {"Qwen2-7B", "Qwen2.5-72B", "Qwen1.5-14B"}) {
        const Mapped mapped = model_named(name, false);
        EXPECT_TRUE(mapped.spec.qkv_bias) << name;
        EXPECT_FALSE(mapped.spec.projection_bias || mapped.spec.qk_norm) << name;
        EXPECT_THAT(
            mapped.assumed,
            Contains(testing::Field(&Assumption::value,
                                    testing::EndsWith("'s biases of queries, keys and values"))));
    }
    for (const char* name : {"Qwen1.5-MoE-A2.7B", "Qwen2-57B-A14B"}) {
        const Mapped mapped = model_named(name, true);
        EXPECT_TRUE(mapped.spec.experts.shared_gate) << name;
        EXPECT_TRUE(mapped.spec.qkv_bias) << name;
        EXPECT_THAT(mapped.assumed, Contains(testing::Field(&Assumption::value,
                                                            testing::HasSubstr("with a gate"))));
    }
    const TransformerSpec oss = model_named("gpt-oss-20b", true).spec;
    EXPECT_TRUE(oss.qkv_bias && oss.projection_bias && oss.experts.router_bias);
    EXPECT_FALSE(model_named("DeepSeek-V3", true, 2048).spec.experts.shared_gate);
    for (const char* name : {"Llama-3-8B", "Mistral-7B", "Qwen 32B"}) {
        const TransformerSpec spec = model_named(name, false).spec;
        EXPECT_FALSE(spec.qk_norm || spec.qkv_bias) << name;
    }
}

// Windows are not modelled, and said not to be where they are shorter than the samples.
TEST(RunModel, WindowsOfAttention) {
    const auto said = [](const char* name, std::int64_t seq) {
        MeasuredRun run = full_row();
        run.model = name;
        run.seq = seq;
        std::vector<Assumption> assumed;
        model_of(run, RuntimeProfile::megatron, 1, assumed);
        return assumed;
    };
    const Assumption windows{"model", "attention to all tokens in every block, not to 4096"};
    EXPECT_THAT(said("Gemma-2-9B", 8192), Contains(windows));
    EXPECT_THAT(said("Gemma-2-9B", 4096), testing::Not(Contains(windows)));
    EXPECT_THAT(said("Llama-3-8B", 8192), testing::Not(Contains(windows)));
}

TEST(RunModel, ExpertsAreAsWideAsReleased) {
    for (const auto& [name, width] :
         std::initializer_list<std::pair<const char*, std::int64_t>>{{"DeepSeek-V2-Lite", 1408},
                                                                     {"DeepSeek-V2", 1536},
                                                                     {"DeepSeek-V3", 2048},
                                                                     {"DeepSeek-R1", 2048},
                                                                     {"DeepSeekMoE-16B", 1408},
                                                                     {"Qwen1.5-MoE-A2.7B", 1408},
                                                                     {"Qwen2-57B-A14B", 2560},
                                                                     {"Kimi-K2", 2048},
                                                                     {"Moonlight-16B-A3B", 1408}}) {
        const Mapped open = model_named(name, true);
        EXPECT_EQ(open.spec.experts.ffn, width) << name;
        EXPECT_EQ(open.spec.experts.shared_ffn % width, 0) << name;
        EXPECT_THAT(open.assumed, Contains((Assumption{"expert_ffn", std::to_string(width)})));
        EXPECT_EQ(model_named(name, true, 512).spec.experts.ffn, 512) << "as stated";
    }
    EXPECT_EQ(model_named("Mixtral-8x7B", true).spec.experts.ffn, 4096) << "the row's ffn";
}

}  // namespace
}  // namespace shardscope
