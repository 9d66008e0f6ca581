// What each tensor-parallel rank holds of a model.
#include "core/lowering/tensor_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::parameter_named;
using testing::ElementsAre;
using testing::HasSubstr;

// How many ranks hold each element of every parameter.
void expect_cover(const ModelSpec& spec, int tp) {
    const Model model = build_model(spec);
    const LocalModel local = split_model(model, tp);
    for (std::size_t p = 0; p < model.parameters.size(); ++p) {
        const Parameter& parameter = model.parameters[p];
        std::vector<int> held(static_cast<std::size_t>(parameter.elements()), 0);
        for (int rank = 0; rank < tp; ++rank) {
            std::vector<bool> used(static_cast<std::size_t>(local.model.parameters[p].elements()),
                                   false);
            for (const ElementRun& run : runs_of(local.splits[p], parameter.shape, {tp, rank}))
                for (std::int64_t i = 0; i < run.count; ++i) {
                    ++held.at(static_cast<std::size_t>(run.global_first + i));
                    EXPECT_FALSE(used.at(static_cast<std::size_t>(run.local_first + i)));
                    used[static_cast<std::size_t>(run.local_first + i)] = true;
                }
        }
        const bool whole = local.splits[p].kind == TensorSplit::Kind::whole;
        for (const int count : held) {
            EXPECT_GE(count, 1) << parameter.name;
            EXPECT_LE(count, tp) << parameter.name;
            EXPECT_TRUE(!whole || count == tp) << parameter.name;
        }
    }
}

TEST(TensorSplit, EveryElementIsHeldAndNoneTwiceByOneRank) {
    for (const int tp : {1, 2, 4}) {
        expect_cover(test::tiny_mlp(), tp);
        expect_cover(test::tiny_gpt(), tp);
        expect_cover(test::tiny_llama(), tp);
    }
}

// 4 heads over 2 key-value heads of 6 elements, hidden 24, ffn 36, vocabulary 50.
TEST(TensorSplit, ShapesOfALlamaRank) {
    const Model local = split_model(build_model(test::tiny_llama()), 4).model;
    EXPECT_THAT(parameter_named(local, "embedding.tokens").shape, ElementsAre(13, 24));
    EXPECT_THAT(parameter_named(local, "blocks.0.attention.qkv.weight").shape, ElementsAre(18, 24))
        << "one query head, and the key and value head it shares with its neighbour";
    EXPECT_THAT(parameter_named(local, "blocks.0.attention.projection.weight").shape,
                ElementsAre(24, 6));
    EXPECT_THAT(parameter_named(local, "blocks.0.mlp.up.weight").shape, ElementsAre(18, 24));
    EXPECT_THAT(parameter_named(local, "blocks.0.mlp.down.weight").shape, ElementsAre(24, 9));
    EXPECT_THAT(parameter_named(local, "blocks.0.mlp_norm.weight").shape, ElementsAre(24));
}

TEST(TensorSplit, NeighboursShareKeyAndValueHeads) {
    const Model model = build_model(test::tiny_llama());
    const LocalModel local = split_model(model, 4);
    std::size_t qkv = 0;
    while (model.parameters[qkv].name != "blocks.0.attention.qkv.weight") ++qkv;
    std::vector<std::int64_t> key_rows;
    for (int rank = 0; rank < 4; ++rank)
        key_rows.push_back(
            runs_of(local.splits[qkv], model.parameters[qkv].shape, {4, rank})[1].global_first /
            24);
    EXPECT_THAT(key_rows, ElementsAre(24, 24, 30, 30));
}

// 50 rows over 4 ranks: 13, 13, 13 and 11.
TEST(TensorSplit, TheVocabularyNeedNotDivide) {
    const Model model = build_model(test::tiny_llama());
    const LocalModel local = split_model(model, 4);
    std::vector<std::int64_t> rows;
    for (int rank = 0; rank < 4; ++rank)
        for (const ElementRun& run : runs_of(local.splits[0], model.parameters[0].shape, {4, rank}))
            rows.push_back(run.count / 24);
    EXPECT_THAT(rows, ElementsAre(13, 13, 13, 11));
}

void expect_split_refused(const ModelSpec& spec, int tp, const char* text) {
    try {
        split_model(build_model(spec), tp);
        ADD_FAILURE() << "not refused";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "tensor-parallel");
        EXPECT_THAT(e.message, HasSubstr(text));
        EXPECT_FALSE(e.fix.empty());
    }
}

TEST(TensorSplit, RefusesHeadsAndWidthsThatDoNotDivide) {
    expect_split_refused(test::tiny_gpt(), 3, "key-value heads");
    expect_split_refused(test::tiny_gpt(), 8, "heads 4 does not divide over tp 8");
    expect_split_refused(test::tiny_mlp(), 3, "width 32 does not divide over tp 3");
}

}  // namespace
}  // namespace shardscope
