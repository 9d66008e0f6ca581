// Hugging Face's config.json: parameters counted by formulas of each architecture, what is read, noted
// and refused.
#include "core/model/hf_import.h"

#include <cmath>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/model/model_io.h"
#include "tests/support/golden.h"

namespace shardscope {
namespace {

HfImport fixture(const std::string& name, const HfOptions& options = {}) {
    return load_hf_config(SHARDSCOPE_SOURCE_DIR "/tests/data/hf/" + name + ".json", options);
}

std::int64_t parameters(const HfImport& imported) {
    return build_model(imported.model).parameter_count();
}

const TransformerSpec& spec_of(const HfImport& imported) {
    return std::get<TransformerSpec>(imported.model.kind);
}

HfImport imported(const std::string& text, const HfOptions& options = {}) {
    return import_hf_config(YamlValue::parse(text, "config.json"), options);
}

std::string import_error(const std::string& text, const HfOptions& options = {}) {
    try {
        build_model(imported(text, options).model);
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        EXPECT_FALSE(e.fix.empty());
        return e.what();
    }
    return "no error";
}

std::string note_of(const HfImport& imported, const std::string& key) {
    for (const HfImport::Note& note : imported.notes)
        if (note.key == key) return note.text;
    return "no note";
}

// v tokens of width h, p positions, per block: attention's and the MLP's matrices, biases and norms; a
// final norm; and c = 1 if the classifier is a matrix of its own.
//
// GPT-2: 4 h² + 8 h² of matrices, biases 3h + h + 4h + h, two LayerNorms of 2h.
std::int64_t gpt2_formula(std::int64_t layers, std::int64_t h) {
    return 50257 * h + 1024 * h + layers * (12 * h * h + 9 * h + 4 * h) + 2 * h;
}
// q and o: 2·h·q with q = heads · head_dim; k and v: 2·h·kv; three matrices of the gated MLP; two
// RMSNorms of h.
std::int64_t llama_formula(std::int64_t v, std::int64_t layers, std::int64_t h, std::int64_t q,
                           std::int64_t kv, std::int64_t ffn, std::int64_t classifiers) {
    return (1 + classifiers) * v * h + layers * (2 * h * q + 2 * h * kv + 3 * h * ffn + 2 * h) + h;
}
// As GPT-2 with another width of the MLP and no table of positions; untied.
std::int64_t neox_formula(std::int64_t v, std::int64_t layers, std::int64_t h, std::int64_t ffn) {
    return 2 * v * h + layers * (4 * h * h + 4 * h + 2 * h * ffn + ffn + h + 4 * h) + 2 * h;
}

struct Counted {
    const char* file;
    std::int64_t published, formula;
};

TEST(HfImport, CountsParametersExactly) {
    const std::int64_t qwen2_biases = 28 * (28 + 2 * 4) * 128, qwen3_head_norms = 36 * 2 * 128;
    const std::int64_t opt =
        50272 * 768 + (2048 + 2) * 768 + 12 * (12 * 768 * 768 + 9 * 768 + 4 * 768) + 2 * 768;
    const Counted models[] = {
        {"gpt2", 124439808, gpt2_formula(12, 768)},
        {"gpt2-xl", 1557611200, gpt2_formula(48, 1600)},
        {"llama-2-7b", 6738415616, llama_formula(32000, 32, 4096, 4096, 4096, 11008, 1)},
        {"llama-3-8b", 8030261248, llama_formula(128256, 32, 4096, 4096, 1024, 14336, 1)},
        {"llama-3.1-8b", 8030261248, llama_formula(128256, 32, 4096, 4096, 1024, 14336, 1)},
        {"llama-3-70b", 70553706496, llama_formula(128256, 80, 8192, 8192, 1024, 28672, 1)},
        {"mistral-7b", 7241732096, llama_formula(32000, 32, 4096, 4096, 1024, 14336, 1)},
        {"qwen2-7b", 7615616512,
         llama_formula(152064, 28, 3584, 3584, 512, 18944, 1) + qwen2_biases},
        {"qwen3-8b", 8190735360,
         llama_formula(151936, 36, 4096, 4096, 1024, 12288, 1) + qwen3_head_norms},
        {"gemma-2b", 2506172416, llama_formula(256000, 18, 2048, 2048, 256, 16384, 0)},
        {"gemma-7b", 8537680896, llama_formula(256000, 28, 3072, 4096, 4096, 24576, 0)},
        {"opt-125m", 125239296, opt},
        {"pythia-160m", 162322944, neox_formula(50304, 12, 768, 3072)},
        {"gpt-neox-20b", 20554567680, neox_formula(50432, 44, 6144, 24576)},
    };
    for (const Counted& model : models) {
        const HfImport imported = fixture(model.file);
        EXPECT_EQ(parameters(imported), model.published) << model.file;
        EXPECT_EQ(parameters(imported), model.formula) << model.file;
        std::int64_t sum = 0;
        for (const ParameterPart& part : parts_of(build_model(imported.model)))
            sum += part.parameters;
        EXPECT_EQ(sum, model.published) << model.file;
    }
}

// Models with experts: E of width e in each of L layers, whose router is h·E.
std::int64_t experts_formula(std::int64_t layers, std::int64_t h, std::int64_t experts,
                             std::int64_t ffn) {
    return layers * (h * experts + 3 * h * ffn * experts);
}
// Latent attention, per block: with r and k the ranks of queries and of keys and values (each with a norm),
// n + p the width of a query or key head and v that of a value head. r = 0: queries are not compressed.
std::int64_t latent_formula(std::int64_t h, std::int64_t heads, std::int64_t r, std::int64_t k) {
    constexpr std::int64_t n = 128, p = 64, v = 128;
    const std::int64_t queries = r > 0 ? h * r + r + r * heads * (n + p) : h * heads * (n + p);
    return queries + h * (k + p) + k + k * heads * (n + v) + heads * v * h;
}
// V·h twice, L blocks with two norms, d of them with an MLP of width f, the others with experts and shared
// ones.
std::int64_t deepseek_formula(std::int64_t v, std::int64_t layers, std::int64_t d, std::int64_t h,
                              std::int64_t f, std::int64_t attention, std::int64_t experts,
                              std::int64_t ffn, std::int64_t shared) {
    return 2 * v * h + h + layers * (attention + 2 * h) + 3 * d * h * f +
           experts_formula(layers - d, h, experts, ffn) + (layers - d) * 3 * h * ffn * shared;
}

struct CountedExperts {
    const char* file;
    std::int64_t published, formula, inactive;  // experts that a token is not sent to
};

// DeepSeek-V3 without the block that predicts a second token, and without the 256 numbers per layer that
// correct its routing, which are no trained weights.
TEST(HfImport, CountsExpertsExactly) {
    const auto mixtral = [](std::int64_t layers, std::int64_t h, std::int64_t ffn) {
        return llama_formula(32000, layers, h, h, 1024, 0, 1) + experts_formula(layers, h, 8, ffn);
    };
    const std::int64_t h = 2048;
    const std::int64_t qwen2 = llama_formula(151936, 24, h, h, h, 5632, 1) + 24 * 3 * h +
                               experts_formula(24, h, 60, 1408) + 24 * h;  // biases, and the gate
    const std::int64_t qwen3 = llama_formula(151936, 48, h, 4096, 512, 0, 1) + 48 * 2 * 128 +
                               experts_formula(48, h, 128, 768);
    const CountedExperts models[] = {
        {"mixtral-8x7b", 46702792704, mixtral(32, 4096, 14336), 32 * 6LL * 3 * 4096 * 14336},
        {"mixtral-8x22b", 140620634112, mixtral(56, 6144, 16384), 56 * 6LL * 3 * 6144 * 16384},
        {"qwen1.5-moe-a2.7b", 14315784192, qwen2, 24 * 56LL * 3 * h * 1408},
        {"qwen3-30b-a3b", 30532122624, qwen3, 48 * 120LL * 3 * h * 768},
        {"deepseek-v2-lite", 15706484224,
         deepseek_formula(102400, 27, 1, h, 10944, latent_formula(h, 16, 0, 512), 64, 1408, 2),
         26 * 58LL * 3 * h * 1408},
        {"deepseek-v2", 235741434880,
         deepseek_formula(102400, 60, 1, 5120, 12288, latent_formula(5120, 128, 1536, 512), 160,
                          1536, 2),
         59 * 154LL * 3 * 5120 * 1536},
        {"deepseek-v3", 671026404352,
         deepseek_formula(129280, 61, 3, 7168, 18432, latent_formula(7168, 128, 1536, 512), 256,
                          2048, 1),
         58 * 248LL * 3 * 7168 * 2048},
    };
    for (const CountedExperts& model : models) {
        const HfImport imported = fixture(model.file, {.seq = 4096});
        EXPECT_EQ(parameters(imported), model.published) << model.file;
        EXPECT_EQ(parameters(imported), model.formula) << model.file;
        EXPECT_EQ(build_model(imported.model).active_parameter_count(),
                  model.published - model.inactive)
            << model.file;
    }
}

TEST(HfImport, KnowsWhatRoutesAndCompresses) {
    const TransformerSpec qwen = spec_of(fixture("qwen1.5-moe-a2.7b"));
    EXPECT_TRUE((qwen.experts == ExpertsSpec{60, 4, 1408, 5632, true}));
    EXPECT_TRUE(qwen.qkv_bias);
    const HfImport v3 = fixture("deepseek-v3", {.seq = 4096});
    EXPECT_TRUE((spec_of(v3).latent == LatentAttentionSpec{512, 1536, 128, 64, 128}));
    EXPECT_EQ(spec_of(v3).experts.first_dense, 3);
    EXPECT_EQ(spec_of(v3).head_dim, 192);
    EXPECT_NE(note_of(v3, "rope_scaling").find("yarn"), std::string::npos);
    EXPECT_NE(note_of(v3, "num_nextn_predict_layers").find("left out"), std::string::npos);
    EXPECT_NE(note_of(v3, "scoring_func").find("routed"), std::string::npos);
    EXPECT_EQ(spec_of(fixture("deepseek-v2-lite")).latent.query_rank, 0);
}

// Version 3 always goes by groups, version 2 where it says so.
TEST(HfImport, KnowsGroupsOfExperts) {
    const auto groups = [](const HfImport& imported) {
        const ExpertsSpec& experts = spec_of(imported).experts;
        return std::pair(experts.groups, experts.groups_per_token);
    };
    using Groups = std::pair<std::int64_t, std::int64_t>;
    EXPECT_EQ(groups(fixture("deepseek-v3", {.seq = 4096})), Groups(8, 4));
    EXPECT_EQ(groups(fixture("deepseek-v2")), Groups(8, 3));
    const HfImport lite = fixture("deepseek-v2-lite");
    EXPECT_EQ(groups(lite), Groups(1, 1));
    EXPECT_NE(note_of(lite, "n_group").find("no groups"), std::string::npos);
}

TEST(HfImport, KnowsTheStructureOfEachType) {
    const TransformerSpec gpt2 = spec_of(fixture("gpt2"));
    EXPECT_EQ(gpt2.mlp, Mlp::gelu);
    EXPECT_EQ(gpt2.position_rows, 1024);
    EXPECT_TRUE(gpt2.tied_embeddings && gpt2.qkv_bias && gpt2.projection_bias && gpt2.mlp_bias);

    const TransformerSpec neox = spec_of(fixture("pythia-160m"));
    EXPECT_EQ(neox.mlp, Mlp::gelu_erf);
    EXPECT_EQ(neox.rotary_dim, 16);
    EXPECT_TRUE(neox.parallel_residual && neox.qkv_bias && !neox.tied_embeddings);
    EXPECT_EQ(spec_of(fixture("gpt-neox-20b")).mlp, Mlp::gelu);

    const TransformerSpec opt = spec_of(fixture("opt-125m"));
    EXPECT_EQ(opt.mlp, Mlp::relu);
    EXPECT_EQ(opt.position_rows, 2050);
    EXPECT_EQ(opt.position_offset, 2);

    const TransformerSpec llama = spec_of(fixture("llama-3-8b"));
    EXPECT_EQ(llama.mlp, Mlp::swiglu);
    EXPECT_EQ(llama.rope_theta, 500000);
    EXPECT_EQ(llama.norm_epsilon, 1e-5);

    const RopeScaling scaling = spec_of(fixture("llama-3.1-8b")).rope_scaling;
    EXPECT_TRUE((scaling == RopeScaling{RopeScaling::Kind::llama3, 8.0, 1.0, 4.0, 8192}));
    EXPECT_EQ(llama.rope_scaling.kind, RopeScaling::Kind::none);

    const TransformerSpec qwen2 = spec_of(fixture("qwen2-7b"));
    EXPECT_TRUE(qwen2.qkv_bias && !qwen2.projection_bias && !qwen2.mlp_bias && !qwen2.qk_norm);
    EXPECT_TRUE(spec_of(fixture("qwen3-8b")).qk_norm);

    const TransformerSpec gemma = spec_of(fixture("gemma-7b"));
    EXPECT_EQ(gemma.mlp, Mlp::geglu);
    EXPECT_EQ(gemma.head_dim, 256);
    EXPECT_DOUBLE_EQ(gemma.embedding_scale, std::sqrt(3072.0));
}

TEST(HfImport, AgreesWithTheNativeForms) {
    GptSpec gpt;
    gpt.layers = gpt.heads = 12;
    gpt.hidden = 768;
    gpt.vocab = 50257;
    gpt.seq = 1024;
    const Model native = build_model({"gpt", gpt}), imported = build_model(fixture("gpt2").model);
    ASSERT_EQ(native.parameters.size(), imported.parameters.size());
    for (std::size_t i = 0; i < native.parameters.size(); ++i) {
        EXPECT_EQ(native.parameters[i].name, imported.parameters[i].name);
        EXPECT_EQ(native.parameters[i].shape, imported.parameters[i].shape);
        EXPECT_EQ(native.parameters[i].init.a, imported.parameters[i].init.a);
    }
}

TEST(HfImport, TheNativeFormReadsBackEqual) {
    for (const char* name :
         {"gpt2", "pythia-160m", "opt-125m", "llama-3-8b", "llama-3.1-8b", "mistral-7b", "qwen2-7b",
          "qwen3-8b", "gemma-2b", "mixtral-8x7b", "qwen1.5-moe-a2.7b", "qwen3-30b-a3b",
          "deepseek-v2-lite", "deepseek-v3"}) {
        const ModelSpec model = fixture(name).model;
        const std::string text = model_to_json(model).dump();
        const ModelSpec back = read_model(YamlValue::parse(text, "back.yaml"), "");
        EXPECT_EQ(back.name, model.name);
        EXPECT_EQ(model_to_json(back).dump(), text);
        EXPECT_TRUE(std::get<TransformerSpec>(back.kind) == std::get<TransformerSpec>(model.kind));
    }
}

TEST(HfImport, SeqIsWhatAttentionCanLookBackOn) {
    EXPECT_EQ(spec_of(fixture("mistral-7b")).seq, 4096);
    EXPECT_EQ(spec_of(fixture("mistral-7b", {.seq = 1024})).seq, 1024);
    EXPECT_THROW(fixture("mistral-7b", {.seq = 8192}), Error);
    EXPECT_EQ(spec_of(fixture("qwen2-7b")).seq, 131072);  // use_sliding_window is false
    // Positions that are learned keep their table.
    EXPECT_EQ(parameters(fixture("opt-125m", {.seq = 128})), 125239296);
    EXPECT_THROW(fixture("gpt2", {.seq = 1025}), Error);
    const HfImport longer = fixture("llama-2-7b", {.seq = 8192});
    EXPECT_EQ(note_of(longer, "max_position_embeddings"),
              "4096: seq 8192 is longer than the model is meant for");
}

// A small Llama, to be changed.
std::string llama_config(
    const std::string& more,
    const std::string& sizes = "\"hidden_size\": 64, \"num_attention_heads\": 4") {
    return "{\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"intermediate_size\": 96,\n"
           "\"vocab_size\": 100, " +
           sizes + (more.empty() ? "" : ", " + more) + "}";
}

TEST(HfImport, TakesTransformersDefaults) {
    const TransformerSpec spec = spec_of(imported(llama_config("")));
    EXPECT_EQ(spec.kv_heads, 4);
    EXPECT_EQ(spec.seq, 2048);
    EXPECT_EQ(spec.norm_epsilon, 1e-6);
    EXPECT_EQ(spec.mlp, Mlp::swiglu);
    EXPECT_FALSE(spec.tied_embeddings || spec.qkv_bias);
    // Qwen3's heads are 128 wide whatever the hidden size.
    std::string qwen3 = llama_config("\"num_key_value_heads\": null");
    qwen3.replace(qwen3.find("llama"), 5, "qwen3");
    EXPECT_EQ(spec_of(imported(qwen3)).head_dim, 128);
    EXPECT_EQ(spec_of(imported(qwen3)).kv_heads, 4);
    // The type follows from the architecture where it is missing.
    const std::string untyped =
        "{\"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 48,\n"
        "\"n_layer\": 2, \"n_head\": 3, \"vocab_size\": 9}";
    EXPECT_EQ(imported(untyped).model_type, "gpt2");
    EXPECT_EQ(spec_of(imported(untyped)).position_rows, 1024);
}

TEST(HfImport, BiasesAndHeadSizesAreCounted) {
    const std::int64_t plain = parameters(imported(llama_config("")));
    EXPECT_EQ(parameters(imported(llama_config("\"attention_bias\": true"))), plain + 2 * 4 * 64);
    EXPECT_EQ(parameters(imported(llama_config("\"mlp_bias\": true"))), plain + 2 * (2 * 96 + 64));
    EXPECT_EQ(parameters(imported(llama_config("\"head_dim\": 32"))), plain + 2 * 4 * 64 * 64);
    EXPECT_EQ(parameters(imported(llama_config("\"tie_word_embeddings\": true"))), plain - 6400);
}

TEST(HfImport, EveryKeyIsAccountedFor) {
    const HfImport odd = imported(llama_config(
        "\"rope_tetha\": 1.0, \"use_cache\": true, \"attention_dropout\": 0.25, \"zorp\": {}"));
    EXPECT_EQ(note_of(odd, "rope_tetha"), "unknown; is \"rope_theta\" meant?");
    EXPECT_EQ(note_of(odd, "use_cache"), "for generating text");
    EXPECT_EQ(note_of(odd, "attention_dropout"),
              "0.25: not applied, nothing is dropped in training here");
    EXPECT_NE(note_of(odd, "zorp").find("unknown"), std::string::npos);
    EXPECT_EQ(note_of(fixture("gpt2"), "resid_pdrop").substr(0, 3), "0.1");
    EXPECT_NE(note_of(fixture("gemma-2b"), "hidden_act").find("tanh"), std::string::npos);
}

TEST(HfImport, PrintsJson) {
    for (const char* name : {"gpt2", "gemma-2b", "mistral-7b"}) {
        const HfImport imported = fixture(name);
        const std::string text = hf_import_to_json(imported, build_model(imported.model));
        test::expect_golden(std::string("hf_") + name + ".json", text);
        EXPECT_EQ(nlohmann::json::parse(text)["parameters"], parameters(imported));
    }
}

const std::string kDeepSeek =
    "{\"model_type\": \"deepseek_v2\", \"num_hidden_layers\": 2, \"hidden_size\": 64,\n"
    "\"num_attention_heads\": 4, \"intermediate_size\": 96, \"vocab_size\": 100";

struct RefusedModel {
    std::string text, message;
};

TEST(HfImport, RefusesByName) {
    const RefusedModel cases[] = {
        {"", "empty-file"},
        {"not json at all", "the file's top level is \"not json at all\", but must be a map"},
        {"[1, 2]", "the file's top level is a list, but must be a map"},
        {"{\"model_type\": ", "yaml"},
        {"{}", "config.json:1:1: the file has no \"model_type\""},
        {"{\"model_type\": \"olmoe\"}",
         "unsupported-model: config.json:1:16: models of type \"olmoe\" are not supported: norms "
         "across all heads of a row; the nearest supported type is \"qwen3_moe\""},
        {"{\"model_type\": \"lama\"}", "use \"llama\""},
        {"{\"model_type\": \"t5\"}", "use one of gpt2, gpt_neox, opt, llama"},
        {"{\"architectures\": [\"BertForMaskedLM\"]}", "\"BertForMaskedLM\" are not supported"},
        {llama_config("\"architectures\": [\"LlamaForSequenceClassification\"]"),
         "LlamaForCausalLM"},
        {llama_config("", "\"num_attention_heads\": 4"),
         "has a \"hidden_size\", but the file has none"},
        {llama_config("", "\"hiden_size\": 64, \"num_attention_heads\": 4"),
         "is \"hiden_size\" meant?"},
        {llama_config("", "\"hidden_size\": 64, \"num_attention_heads\": 5"),
         "heads: config.json:2:62: \"num_attention_heads\" 5 does not divide the hidden size 64; "
         "use a divisor of 64"},
        {llama_config("\"num_key_value_heads\": 3"),
         "3 key-value heads do not divide 4 attention heads"},
        {llama_config("", "\"hidden_size\": -64, \"num_attention_heads\": 4"),
         "hidden_size is -64"},
        {llama_config("", "\"hidden_size\": \"64\", \"num_attention_heads\": 4"), "without quotes"},
        {llama_config("", "\"hidden_size\": 64.5, \"num_attention_heads\": 4"), "whole number"},
        {llama_config("", "\"hidden_size\": 1e30, \"num_attention_heads\": 4"), "hidden_size is"},
        {llama_config("", "\"hidden_size\": 99999999999999999999, \"num_attention_heads\": 4"),
         "hidden_size is"},
        {llama_config("\"vocab_size\": 7"), "duplicate-key"},
        {llama_config("\"rms_norm_eps\": 0"), "rms_norm_eps is 0"},
        {llama_config("\"head_dim\": 7"), "heads: config.json:1:1: head_dim 7 is odd"},
        {"{\"model_type\": \"gpt_neox\", \"num_hidden_layers\": 2, \"hidden_size\": 64,\n"
         "\"num_attention_heads\": 4, \"intermediate_size\": 96, \"vocab_size\": 100,\n"
         "\"rotary_pct\": 0.05}",
         "config.json:3:15: \"rotary_pct\": 0.05 of a head are 0 elements"},
        {llama_config("\"hidden_act\": \"quick_gelu\""), "\"quick_gelu\" is not supported"},
        {llama_config("\"hidden_act\": \"relu\""), "\"relu\" is not supported in a gated MLP"},
        {llama_config("\"num_local_experts\": 8"), "no mixture of experts; use a type that has"},
        {kDeepSeek + ", \"moe_layer_freq\": 2}", "experts in some blocks only"},
        {kDeepSeek + ", \"attention_bias\": true}", "biases in latent attention"},
        {kDeepSeek + ", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}}",
         "of type \"dynamic\" is not supported"},
        {llama_config("\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}"), "of type \"yarn\""},
        {llama_config("\"partial_rotary_factor\": 0.5"), "partial_rotary_factor"},
        {llama_config("\"is_encoder_decoder\": true"), "an encoder beside the decoder"},
        {llama_config("\"tie_word_embeddings\": \"yes\""), "without quotes"},
    };
    for (const RefusedModel& c : cases)
        EXPECT_NE(import_error(c.text).find(c.message), std::string::npos)
            << c.text << "\n  wanted: " << c.message << "\n  got: " << import_error(c.text);
    EXPECT_THROW(fixture("opt-350m"), Error);
    try {
        fixture("missing");
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 2);
    }
}

}  // namespace
}  // namespace shardscope
