// The definition that tests hold Hugging Face models to is the one of transformers itself.
#include "tests/support/families.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/model/model.h"

namespace shardscope {
namespace {

// Numbers that any program can make; norms are near 1.
std::vector<double> weights_of(const Parameter& parameter) {
    double start = 0;
    for (const char c : parameter.name) start += static_cast<unsigned char>(c);
    start = std::fmod(start, 97.0);
    const double base = parameter.init.kind == Initializer::Kind::ones ? 1 : 0;
    std::vector<double> values;
    for (std::int64_t n = 0; n < parameter.elements(); ++n) {
        const auto i = static_cast<double>(n);
        values.push_back(base + 0.3 * std::sin(start + 0.7 * i + 0.01 * i * std::sin(i)));
    }
    return values;
}

struct Computed {
    const char* type;
    double loss;
    std::int64_t parameters;
};

// Printed by tests/data/hf/losses.py: transformers 4.51.3 in fp64, but for RMSNorms and angles, which
// it computes in fp32; hence the tolerance.
constexpr Computed kTransformers[] = {
    {"gpt2", 4.873778735, 16080},  {"gpt_neox", 5.384751889, 11016}, {"opt", 4.120101953, 10344},
    {"llama", 4.584694037, 11160}, {"mistral", 4.360479715, 11160},  {"qwen2", 4.903140709, 11256},
    {"qwen3", 4.369311690, 12520}, {"gemma", 5.535037759, 10344},
};

TEST(Families, ComputeWhatTransformersComputes) {
    const auto models = test::tiny_families();
    ASSERT_EQ(models.size(), std::size(kTransformers));
    for (std::size_t i = 0; i < models.size(); ++i)
        EXPECT_EQ(models[i].name, test::tiny_family_names().at(i));
    std::vector<std::int32_t> tokens{3}, targets;
    while (targets.size() < 16) {
        targets.push_back((5 * tokens.back() + 7) % 50);
        if (targets.size() < 16) tokens.push_back(targets.back());
    }
    for (std::size_t i = 0; i < models.size(); ++i) {
        const Model model = build_model(models[i]);
        std::map<std::string, std::vector<double>> weights;
        for (const Parameter& p : model.parameters) weights[p.name] = weights_of(p);
        EXPECT_EQ(models[i].name, kTransformers[i].type);
        EXPECT_EQ(model.parameter_count(), kTransformers[i].parameters) << models[i].name;
        EXPECT_NEAR(test::reference_loss(std::get<TransformerSpec>(models[i].kind), weights, tokens,
                                         targets),
                    kTransformers[i].loss, 1e-6)
            << models[i].name;
    }
}

}  // namespace
}  // namespace shardscope
