#include "core/model/model.h"

#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/core/plan_facts.h"

namespace shardscope {
namespace {

using test::parameter_named;

constexpr std::int64_t kHuge = 1'000'000'000'000'000'000;

GptSpec gpt2(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
    GptSpec spec;
    spec.layers = layers;
    spec.hidden = hidden;
    spec.heads = heads;
    spec.vocab = 50257;
    spec.seq = 1024;
    return spec;
}

LlamaSpec llama(std::int64_t kv_heads, std::int64_t ffn, std::int64_t vocab, std::int64_t seq) {
    LlamaSpec spec;
    spec.layers = 32;
    spec.hidden = 4096;
    spec.heads = 32;
    spec.kv_heads = kv_heads;
    spec.ffn = ffn;
    spec.vocab = vocab;
    spec.seq = seq;
    return spec;
}

LayerListSpec mlp() {
    using Kind = LayerListSpec::Kind;
    return {{{Kind::linear, 784, 128}, {Kind::relu}, {Kind::linear, 128, 10}}};
}

template <class Spec>
Model build(const Spec& spec) {
    return build_model({"test", spec});
}

template <class Spec>
std::string rule_of(const Spec& spec) {
    try {
        build(spec);
    } catch (const Error& e) {
        EXPECT_EQ(e.kind, ErrorKind::invalid_input);
        EXPECT_FALSE(e.fix.empty());
        return e.rule;
    }
    return "no error";
}

template <class Spec>
std::string text_of(const Spec& spec) {
    try {
        build(spec);
    } catch (const Error& e) {
        return e.what();
    }
    return "no error";
}

const Layer& layer(const Model& model, const std::string& name) {
    for (const Layer& l : model.layers)
        if (l.name == name) return l;
    throw std::runtime_error("no layer " + name);
}

TEST(Model, PublishedParameterCounts) {
    EXPECT_EQ(build(gpt2(12, 768, 12)).parameter_count(), 124'439'808);
    EXPECT_EQ(build(gpt2(48, 1600, 25)).parameter_count(), 1'557'611'200);
    EXPECT_EQ(build(llama(32, 11008, 32000, 4096)).parameter_count(), 6'738'415'616);
    EXPECT_EQ(build(llama(8, 14336, 128256, 8192)).parameter_count(), 8'030'261'248);
    EXPECT_EQ(build(mlp()).parameter_count(), 101'770);
}

TEST(Model, UntyingAddsAClassifier) {
    GptSpec spec = gpt2(12, 768, 12);
    spec.tied_embeddings = false;
    const Model model = build(spec);
    EXPECT_EQ(model.parameter_count(), 124'439'808 + 50257 * 768);
    EXPECT_EQ(parameter_named(model, "head.classifier.weight").shape,
              (std::vector<std::int64_t>{50257, 768}));
    EXPECT_TRUE(layer(model, "head").borrowed.empty());
}

TEST(Model, GptLayersAndNames) {
    const Model model = build(gpt2(2, 64, 4));
    ASSERT_EQ(model.layers.size(), 4u);
    EXPECT_EQ(model.layers[0].name, "embedding");
    EXPECT_EQ(model.layers[1].name, "blocks.0");
    EXPECT_EQ(model.layers[2].name, "blocks.1");
    EXPECT_EQ(model.layers[3].name, "head");
    std::vector<std::string> names;
    for (ParameterId id : model.layers[2].parameters)
        names.push_back(model.parameters[id.index()].name);
    EXPECT_EQ(names,
              (std::vector<std::string>{
                  "blocks.1.attention_norm.weight", "blocks.1.attention_norm.bias",
                  "blocks.1.attention.qkv.weight", "blocks.1.attention.qkv.bias",
                  "blocks.1.attention.projection.weight", "blocks.1.attention.projection.bias",
                  "blocks.1.mlp_norm.weight", "blocks.1.mlp_norm.bias", "blocks.1.mlp.up.weight",
                  "blocks.1.mlp.up.bias", "blocks.1.mlp.down.weight", "blocks.1.mlp.down.bias"}));
    EXPECT_TRUE(model.tokens);
    EXPECT_EQ(model.seq, 1024);
    EXPECT_EQ(model.classes, 50257);
}

TEST(Model, TiedHeadBorrowsTheEmbeddingTable) {
    const Model model = build(gpt2(2, 64, 4));
    const auto& embedding = std::get<EmbeddingLayer>(model.layers.front().kind);
    const auto& head = std::get<HeadLayer>(model.layers.back().kind);
    EXPECT_EQ(head.classifier.weight, embedding.table);
    EXPECT_FALSE(head.classifier.bias.valid());
    EXPECT_EQ(model.layers.back().borrowed, std::vector<ParameterId>{embedding.table});
    EXPECT_TRUE(embedding.positions.valid());
}

TEST(Model, EveryParameterHasOneOwnerAndItsOwnName) {
    for (const Model& model :
         {build(gpt2(3, 64, 4)), build(llama(8, 128, 100, 16)), build(mlp())}) {
        std::set<std::string> names;
        for (const Parameter& p : model.parameters) names.insert(p.name);
        EXPECT_EQ(names.size(), model.parameters.size());
        std::vector<ParameterId> owned;
        for (const Layer& l : model.layers)
            owned.insert(owned.end(), l.parameters.begin(), l.parameters.end());
        ASSERT_EQ(owned.size(), model.parameters.size());
        for (std::size_t i = 0; i < owned.size(); ++i) EXPECT_EQ(owned[i], ParameterId(i));
    }
}

TEST(Model, LlamaShapes) {
    const Model model = build(llama(8, 14336, 128256, 8192));
    const auto& block = std::get<BlockLayer>(layer(model, "blocks.31").kind);
    EXPECT_EQ(block.rotary_dim, 128);
    EXPECT_EQ(block.mlp, Mlp::swiglu);
    EXPECT_EQ(block.head_dim, 128);
    EXPECT_EQ(block.qkv.out, 4096 + 2 * 1024);
    EXPECT_EQ(block.up.out, 2 * 14336);
    EXPECT_EQ(block.down.in, 14336);
    EXPECT_EQ(block.attention_norm.kind, NormKind::rms_norm);
    EXPECT_FALSE(block.attention_norm.bias.valid());
    EXPECT_FALSE(block.qkv.bias.valid());
    EXPECT_FALSE(std::get<EmbeddingLayer>(model.layers[0].kind).positions.valid());
    EXPECT_TRUE(model.layers.back().borrowed.empty());
}

TEST(Model, HeadDimMayDifferFromHiddenOverHeads) {
    LlamaSpec spec = llama(8, 128, 100, 16);
    spec.head_dim = 64;
    const auto block = std::get<BlockLayer>(build(spec).layers[1].kind);
    EXPECT_EQ(block.qkv.out, (32 + 2 * 8) * 64);
    EXPECT_EQ(block.projection.in, 32 * 64);
    EXPECT_EQ(block.projection.out, 4096);
}

TEST(Model, GptInitializers) {
    const Model model = build(gpt2(12, 768, 12));
    using Kind = Initializer::Kind;
    EXPECT_EQ(parameter_named(model, "embedding.tokens").init.kind, Kind::normal);
    EXPECT_DOUBLE_EQ(parameter_named(model, "embedding.positions").init.a, 0.02);
    EXPECT_DOUBLE_EQ(parameter_named(model, "blocks.5.attention.qkv.weight").init.a, 0.02);
    const double residual = 0.02 / std::sqrt(24.0);
    EXPECT_DOUBLE_EQ(parameter_named(model, "blocks.5.attention.projection.weight").init.a,
                     residual);
    EXPECT_DOUBLE_EQ(parameter_named(model, "blocks.5.mlp.down.weight").init.a, residual);
    EXPECT_EQ(parameter_named(model, "blocks.5.mlp.down.bias").init.kind, Kind::zeros);
    EXPECT_EQ(parameter_named(model, "head.norm.weight").init.kind, Kind::ones);
}

TEST(Model, LayerListFusesActivationsAndEndsInALoss) {
    const Model model = build(mlp());
    ASSERT_EQ(model.layers.size(), 3u);
    const auto& first = std::get<LinearLayer>(layer(model, "layers.0").kind);
    EXPECT_EQ(first.activation, Activation::relu);
    EXPECT_EQ(std::get<LinearLayer>(layer(model, "layers.2").kind).activation, Activation::none);
    EXPECT_EQ(std::get<LossLayer>(model.layers[2].kind).classes, 10);
    EXPECT_FALSE(model.tokens);
    EXPECT_EQ(model.input_width, 784);
    EXPECT_EQ(model.classes, 10);
    const Parameter& bias = parameter_named(model, "layers.2.bias");
    EXPECT_EQ(bias.init.kind, Initializer::Kind::uniform);
    EXPECT_DOUBLE_EQ(bias.init.a, 1.0 / std::sqrt(128.0));
}

TEST(Model, LayerListKeepsActivationsThatCannotBeFused) {
    using Kind = LayerListSpec::Kind;
    const Model model = build(LayerListSpec{{{Kind::linear, 8, 6, false},
                                             {Kind::gelu},
                                             {Kind::relu},
                                             {Kind::layer_norm},
                                             {Kind::gelu},
                                             {Kind::linear, 6, 3}}});
    ASSERT_EQ(model.layers.size(), 6u);
    EXPECT_FALSE(std::get<LinearLayer>(model.layers[0].kind).linear.bias.valid());
    EXPECT_EQ(std::get<ActivationLayer>(model.layers[1].kind).activation, Activation::relu);
    EXPECT_EQ(std::get<NormLayer>(model.layers[2].kind).width, 6);
    EXPECT_EQ(std::get<ActivationLayer>(model.layers[3].kind).width, 6);
    EXPECT_EQ(model.layers[4].name, "layers.5");
}

TEST(Model, TrainingFlops) {
    // llm.c's count for GPT-2 124M: 6 · (parameters that multiply) · s + 6 · L · h · s².
    const double s = 1024, h = 768, layers = 12;
    const double multiplied = layers * 12 * h * h + 50257 * h;
    EXPECT_DOUBLE_EQ(build(gpt2(12, 768, 12)).training_flops_per_sample().value,
                     6 * multiplied * s + 6 * layers * h * s * s);
    EXPECT_DOUBLE_EQ(build(mlp()).training_flops_per_sample().value,
                     4.0 * 784 * 128 + 6.0 * 128 * 10);
}

TEST(Model, TyingDoesNotChangeFlops) {
    GptSpec spec = gpt2(12, 768, 12);
    const double tied = build(spec).training_flops_per_sample().value;
    spec.tied_embeddings = false;
    EXPECT_EQ(build(spec).training_flops_per_sample().value, tied);
}

TEST(ModelErrors, Heads) {
    EXPECT_EQ(text_of(gpt2(2, 256, 7)),
              "heads: heads 7 does not divide hidden 256; use a divisor of 256 for heads");
    EXPECT_EQ(rule_of(llama(5, 128, 100, 16)), "heads");
    LlamaSpec odd = llama(8, 128, 100, 16);
    odd.head_dim = 3;
    EXPECT_EQ(rule_of(odd), "heads");
}

TEST(ModelErrors, NumbersBelowOne) {
    EXPECT_EQ(rule_of(gpt2(0, 256, 8)), "model-size");
    EXPECT_EQ(rule_of(gpt2(2, -256, 8)), "model-size");
    EXPECT_EQ(rule_of(gpt2(2, 256, 0)), "model-size");
    EXPECT_EQ(rule_of(llama(-8, 128, 100, 16)), "model-size");
    EXPECT_EQ(rule_of(llama(8, 0, 100, 16)), "model-size");
    EXPECT_EQ(rule_of(llama(8, 128, 0, 16)), "model-size");
    EXPECT_EQ(rule_of(llama(8, 128, 100, -1)), "model-size");
    GptSpec spec = gpt2(2, 256, 8);
    spec.ffn = -1;
    EXPECT_EQ(rule_of(spec), "model-size");
}

TEST(ModelErrors, NumbersThatAreNotFinite) {
    LlamaSpec spec = llama(8, 128, 100, 16);
    spec.rope_theta = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(rule_of(spec), "model-size");
    spec.rope_theta = 1e4;
    spec.norm_epsilon = -1;
    EXPECT_EQ(rule_of(spec), "model-size");
}

TEST(ModelErrors, HugeNumbersFailAtOnce) {
    EXPECT_EQ(rule_of(gpt2(kHuge, 768, 12)), "layers");
    EXPECT_EQ(rule_of(gpt2(12, kHuge, 1)), "size-overflow");
    EXPECT_EQ(rule_of(gpt2(12, std::numeric_limits<std::int64_t>::max(), 1)), "size-overflow");
    EXPECT_EQ(rule_of(gpt2(100'000, 1 << 26, 1)), "size-overflow");
    LlamaSpec heads = llama(1, 128, 100, 16);
    heads.heads = heads.kv_heads = std::numeric_limits<std::int64_t>::max();
    heads.head_dim = 2;
    EXPECT_EQ(rule_of(heads), "size-overflow");
    LlamaSpec vocab = llama(8, 128, 1LL << 31, 16);
    EXPECT_EQ(rule_of(vocab), "model-size");
}

TEST(ModelErrors, LayerLists) {
    using Kind = LayerListSpec::Kind;
    EXPECT_EQ(rule_of(LayerListSpec{}), "layer-shape");
    EXPECT_EQ(rule_of(LayerListSpec{{{Kind::relu}, {Kind::linear, 8, 4}}}), "layer-shape");
    EXPECT_EQ(rule_of(LayerListSpec{{{Kind::layer_norm}, {Kind::linear, 8, 4}}}), "layer-shape");
    EXPECT_EQ(rule_of(LayerListSpec{{{Kind::linear, 8, 4}, {Kind::relu}}}), "layer-shape");
    EXPECT_EQ(rule_of(LayerListSpec{{{Kind::linear, 8, 0}}}), "model-size");
    EXPECT_EQ(
        text_of(LayerListSpec{{{Kind::linear, 8, 4}, {Kind::relu}, {Kind::linear, 5, 2}}}),
        "layer-shape: layers.2 (linear: [5, 2]) takes 5 inputs, but the layer before gives 4; "
        "make both widths 5 or both 4");
}

}  // namespace
}  // namespace shardscope
