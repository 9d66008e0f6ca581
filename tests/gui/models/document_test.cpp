#include "gui/models/document.h"

#include <QDir>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/yaml_text.h"
#include "gui/models/edits.h"
#include "tests/support/scenario_edits.h"

namespace shardscope::gui {
namespace {

const QString kShipped = SHARDSCOPE_SOURCE_DIR "/scenarios/";

std::vector<std::string> names(const Document& document) {
    std::vector<std::string> names;
    for (const Strategy& strategy : document.scenario().strategies) names.push_back(strategy.name);
    return names;
}

class DocumentTest : public testing::Test {
protected:
    DocumentTest() { document_.open(kShipped + "gpt2-h100.yaml"); }
    const Strategy& strategy(int row) const {
        return document_.scenario().strategies[static_cast<std::size_t>(row)];
    }
    void set_tp(int row, int tp, const QString& merge = {}) {
        Strategy changed = strategy(row);
        changed.tp = tp;
        document_.set_strategy(row, changed, "set tensor parallel", merge);
    }
    Document document_{{}};
};

TEST_F(DocumentTest, AnEditCanBeUndoneAndRedone) {
    const Scenario opened = document_.scenario();
    EXPECT_FALSE(document_.can_undo());
    EXPECT_FALSE(document_.modified());
    set_tp(0, 2);
    EXPECT_EQ(document_.undo_name(), "set tensor parallel");
    EXPECT_TRUE(document_.modified());
    EXPECT_TRUE(strategy(0).place.empty());  // it is no longer what the file has there
    const Scenario edited = document_.scenario();
    document_.undo();
    EXPECT_EQ(document_.scenario(), opened);
    EXPECT_EQ(strategy(0).place, opened.strategies[0].place);
    EXPECT_FALSE(document_.modified());
    EXPECT_EQ(document_.redo_name(), "set tensor parallel");
    document_.redo();
    EXPECT_EQ(document_.scenario(), edited);
    document_.undo();
    set_tp(0, 4);
    EXPECT_FALSE(document_.can_redo());
}

TEST_F(DocumentTest, NothingHappensWhereNothingChanges) {
    QSignalSpy changed(&document_, &Document::changed);
    const auto revision = document_.revision();
    set_tp(0, strategy(0).tp);
    document_.set_strategy(99, Strategy{}, "set");
    document_.set_strategy(-1, Strategy{}, "set");
    document_.undo();
    document_.redo();
    document_.duplicate_strategy(99);
    document_.remove_strategy(-1);
    document_.move_strategy(0, 99);
    document_.move_strategy(1, 1);
    EXPECT_EQ(changed.count(), 0);
    EXPECT_EQ(document_.revision(), revision);
    EXPECT_FALSE(document_.can_undo());
}

TEST_F(DocumentTest, EditsOfOneSliderAreOneStep) {
    for (const int tp : {2, 4, 8}) set_tp(0, tp, "tp slider");
    set_tp(0, 2, "another");
    document_.undo();
    EXPECT_EQ(strategy(0).tp, 8);
    document_.undo();
    EXPECT_FALSE(document_.can_undo());
    set_tp(0, 2, "tp slider");
    document_.end_merge();
    set_tp(0, 4, "tp slider");
    document_.undo();
    EXPECT_EQ(strategy(0).tp, 2);
    set_tp(0, 8, "tp slider");  // after an undo: a step of its own
    document_.undo();
    EXPECT_EQ(strategy(0).tp, 2);
}

TEST_F(DocumentTest, NamesStayUnique) {
    const std::string first = strategy(0).name;
    document_.duplicate_strategy(0);
    document_.duplicate_strategy(0);
    document_.duplicate_strategy(1);
    EXPECT_EQ(strategy(1).name, first + " (copy 2)");
    EXPECT_EQ(strategy(2).name, first + " (copy 3)");
    EXPECT_EQ(strategy(3).name, first + " (copy)");
    document_.add_strategy(strategy(0), "add strategy");
    EXPECT_EQ(names(document_).back(), first + " (2)");
    Strategy renamed = strategy(1);
    renamed.name = first;
    document_.set_strategy(1, renamed, "rename strategy");
    EXPECT_EQ(strategy(1).name, first + " (3)");
    renamed.name = std::string(200, 'x');  // no file could hold it
    document_.set_strategy(1, renamed, "rename strategy");
    EXPECT_EQ(strategy(1).name, first + " (3)");
    renamed.name = std::string(99, 'x');
    document_.set_strategy(1, renamed, "rename strategy");
    document_.duplicate_strategy(1);
    EXPECT_LE(strategy(2).name.size(), 100u);
}

TEST_F(DocumentTest, RowsMoveAndGo) {
    const auto before = names(document_);
    ASSERT_GE(before.size(), 3u);
    const int last = static_cast<int>(before.size()) - 1;
    QSignalSpy touched(&document_, &Document::row_touched);
    document_.move_strategy(0, last);
    EXPECT_EQ(names(document_).back(), before.front());
    EXPECT_EQ(touched.takeLast()[0], last);
    document_.undo();
    EXPECT_EQ(names(document_), before);
    EXPECT_EQ(touched.takeLast()[0], 0);
    document_.remove_strategy(last);
    EXPECT_EQ(touched.takeLast()[0], last - 1);
    document_.undo();
    EXPECT_EQ(touched.takeLast()[0], last);
    for (int row = last; row > 0; --row) document_.remove_strategy(row);
    document_.remove_strategy(0);  // a scenario has one at least
    EXPECT_EQ(names(document_), std::vector{before.front()});
}

TEST_F(DocumentTest, WhatDoesNotParseLeavesAllAsItWas) {
    set_tp(0, 2);
    const Scenario before = document_.scenario();
    EXPECT_THROW(document_.open_text("model: [", "broken.yaml", true), Error);
    EXPECT_THROW(document_.open("/nowhere.yaml"), Error);
    EXPECT_THROW(document_.edit("fails", [](Scenario&) { throw Error("x", "y", "z"); }), Error);
    EXPECT_EQ(document_.scenario(), before);
    EXPECT_TRUE(document_.can_undo());
    EXPECT_EQ(document_.path(), kShipped + "gpt2-h100.yaml");
}

TEST_F(DocumentTest, SavesWhatItReadsBack) {
    const QTemporaryDir folder;
    const QString path = folder.filePath("saved.yaml");
    set_tp(0, 2);
    const Scenario edited = document_.scenario();
    document_.save(path);
    EXPECT_FALSE(document_.modified());
    EXPECT_EQ(document_.path(), path);
    // Messages name the line where the strategy is now.
    EXPECT_TRUE(strategy(0).place.starts_with(path.toStdString() + ":"));
    document_.undo();
    EXPECT_TRUE(document_.modified());
    document_.redo();
    EXPECT_FALSE(document_.modified());
    Document again({});
    again.open(path);
    EXPECT_EQ(again.scenario(), document_.scenario());
    EXPECT_EQ(again.scenario().strategies, edited.strategies);

    const QString json = folder.filePath("saved.json");
    document_.save(json);
    again.open(json);
    EXPECT_EQ(again.scenario(), document_.scenario());
}

TEST_F(DocumentTest, AFailedSaveChangesNothing) {
    const QTemporaryDir folder;
    set_tp(0, 2);
    try {
        document_.save(folder.filePath("missing/saved.yaml"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "output");
        EXPECT_EQ(error.exit_code(), 2);
    }
    EXPECT_TRUE(document_.modified());
    EXPECT_EQ(document_.path(), kShipped + "gpt2-h100.yaml");
}

TEST(Document, DataStaysWhereItIsWhenSavedElsewhere) {
    const QTemporaryDir folder;
    ASSERT_TRUE(QDir(folder.path()).mkpath("a"));
    ASSERT_TRUE(QDir(folder.path()).mkpath("b"));
    Document document({});
    const QString text =
        "model: gpt2-124m\ndata: {text: corpus.txt}\ntraining: {global_batch: 8}\n"
        "cluster: h100-sxm\nstrategies: [ddp]\n";
    document.open_text(text.toStdString(), folder.filePath("a/s.yaml"), true);
    const DataSpec data = document.scenario().data;
    document.save(folder.filePath("b/s.yaml"));
    Document again({});
    again.open(folder.filePath("b/s.yaml"));
    EXPECT_EQ(again.scenario().data, data);
    document.save(folder.filePath("a/t.yaml"));
    EXPECT_THAT(read_text_file(folder.filePath("a/t.yaml").toStdString(), "scenario"),
                testing::HasSubstr("text: corpus.txt"));
}

TEST(Document, UndoAndRedoOfRandomEditsReturnTheVeryScenario) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    Document document({});
    document.open(kShipped + "gpt-13b-16-gpus.yaml");
    std::vector<Scenario> states{document.scenario()};
    std::size_t at = 0;
    for (int i = 0; i < 300; ++i) {
        const auto action = random() % 10;
        const int rows = static_cast<int>(document.scenario().strategies.size());
        const int row = static_cast<int>(random()) % rows;
        const auto revision = document.revision();
        const bool undo = action == 0 && at > 0, redo = action == 1 && at + 1 < states.size();
        if (undo) {
            document.undo();
            --at;
        } else if (redo) {
            document.redo();
            ++at;
        } else {
            if (action < 4)
                document.duplicate_strategy(std::abs(row));
            else if (action < 6)
                document.remove_strategy(std::abs(row));
            else if (action == 6)
                document.move_strategy(std::abs(row), 0);
            else
                document.edit("random", [&](Scenario& s) { shardscope::test::change(s, random); });
            if (document.revision() != revision) {
                states.resize(++at);
                states.push_back(document.scenario());
            }
        }
        ASSERT_EQ(document.scenario(), states[at]);
        ASSERT_EQ(document.modified(), document.scenario() != states[0]);
    }
    while (document.can_undo()) document.undo();
    EXPECT_EQ(document.scenario(), states[0]);
    EXPECT_FALSE(document.modified());
    for (std::size_t i = 1; document.can_redo(); ++i) {
        document.redo();
        ASSERT_EQ(document.scenario(), states[i]);
    }
}

}  // namespace
}  // namespace shardscope::gui
