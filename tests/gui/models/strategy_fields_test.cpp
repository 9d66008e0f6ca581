#include "gui/models/strategy_fields.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "core/scenario_io.h"

namespace shardscope::gui {
namespace {

std::vector<StrategyField> all_fields() {
    std::vector<StrategyField> fields = usual_fields();
    for (const StrategyField& field : more_fields()) fields.push_back(field);
    return fields;
}

// A value that a new strategy does not have.
int another_value(const StrategyField& field) {
    const int usual = field.value(Strategy{});
    if (field.kind == StrategyField::Kind::number) return usual == 4 ? 8 : 4;
    const int last = field.kind == StrategyField::Kind::flag ? 1 : int(field.choices.size()) - 1;
    return usual == last ? last - 1 : last;
}

// What is set is what is shown, and no other field changes (but the bucket, which comes with a profile, and the blocks
// in a row, of which no more can be recomputed than there are).
TEST(StrategyFields, EachChangesItself) {
    const std::vector<StrategyField> fields = all_fields();
    for (const StrategyField& changed : fields) {
        Strategy strategy;
        const int value = another_value(changed);
        changed.set(strategy, value);
        for (const StrategyField& field : fields) {
            const bool is_bucket_of_profile = changed.name == "profile" && field.name == "bucket";
            const bool is_room_for_blocks = changed.name == "blocks" && field.name == "every";
            if (is_bucket_of_profile || is_room_for_blocks) continue;
            const int expected = field.name == changed.name ? value : field.value(Strategy{});
            EXPECT_EQ(field.value(strategy), expected)
                << changed.name.toStdString() << " changes " << field.name.toStdString();
        }
        EXPECT_EQ(fields_set(fields, strategy) > 0, true) << changed.name.toStdString();
    }
    EXPECT_EQ(fields_set(fields, Strategy{}), 0);
}

TEST(StrategyFields, ShowWhichBlocksAreRecomputedAndKeepThem) {
    Strategy strategy;
    strategy.recompute = {Recompute::Kind::full, 4, 3};
    const std::vector<StrategyField> fields = all_fields();
    const auto named = [&](const char* name) {
        return *std::ranges::find(fields, QString(name), &StrategyField::name);
    };
    const StrategyField kind = named("recompute"), blocks = named("blocks"), every = named("every");
    EXPECT_EQ(blocks.value(strategy), 3);
    EXPECT_EQ(every.value(strategy), 4);
    kind.set(strategy, kind.value(strategy));
    EXPECT_EQ(recompute_text(strategy.recompute), "3 of 4") << "the same kind was chosen again";
    every.set(strategy, 2);
    EXPECT_EQ(strategy.recompute, (Recompute{Recompute::Kind::full, 2, 2}));
    blocks.set(strategy, 5);
    EXPECT_EQ(strategy.recompute, (Recompute{Recompute::Kind::full, 5, 5}));
    kind.set(strategy, static_cast<int>(Recompute::Kind::selective));
    EXPECT_EQ(strategy.recompute, (Recompute{Recompute::Kind::selective, 1, 1}));
}

TEST(StrategyFields, EveryChoiceCanBeMade) {
    for (const StrategyField& field : all_fields()) {
        if (field.kind != StrategyField::Kind::choice) continue;
        for (int i = 0; i < field.choices.size(); ++i) {
            Strategy strategy;
            field.set(strategy, i);
            EXPECT_EQ(field.value(strategy), i) << field.name.toStdString();
        }
    }
}

TEST(StrategyFields, NamesAndKeysAreUnique) {
    std::set<QString> names;
    std::set<QChar> keys;
    for (const StrategyField& field : all_fields()) {
        EXPECT_TRUE(names.insert(field.name).second) << field.name.toStdString();
        EXPECT_FALSE(field.noun.isEmpty()) << field.name.toStdString();
        EXPECT_FALSE(field.hint.isEmpty()) << field.name.toStdString();
        const auto mark = field.label.indexOf('&');
        if (mark >= 0) {
            EXPECT_TRUE(keys.insert(field.label[mark + 1].toLower()).second)
                << field.label.toStdString();
        }
    }
}

}  // namespace
}  // namespace shardscope::gui
