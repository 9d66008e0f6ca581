#include "gui/models/strategy_fields.h"

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

// What is set is what is shown, and no other field changes (but the bucket, which comes with a profile).
TEST(StrategyFields, EachChangesItself) {
    const std::vector<StrategyField> fields = all_fields();
    for (const StrategyField& changed : fields) {
        Strategy strategy;
        const int value = another_value(changed);
        changed.set(strategy, value);
        for (const StrategyField& field : fields) {
            const bool is_bucket_of_profile = changed.name == "profile" && field.name == "bucket";
            if (is_bucket_of_profile) continue;
            const int expected = field.name == changed.name ? value : field.value(Strategy{});
            EXPECT_EQ(field.value(strategy), expected)
                << changed.name.toStdString() << " changes " << field.name.toStdString();
        }
        EXPECT_EQ(fields_set(fields, strategy) > 0, true) << changed.name.toStdString();
    }
    EXPECT_EQ(fields_set(fields, Strategy{}), 0);
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
