// The window on the offscreen platform: what the mouse-driven acceptance test cannot ask for.
#include "gui/views/main_window.h"

#include <QApplication>
#include <QComboBox>
#include <QDropEvent>
#include <QFile>
#include <QLineEdit>
#include <QMenuBar>
#include <QMimeData>
#include <QSlider>
#include <QSpinBox>
#include <QTemporaryDir>
#include <QTest>
#include <QToolBar>
#include <QToolButton>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gui/views/message_bar.h"
#include "gui/views/named_spin_box.h"
#include "gui/views/scenario_form.h"
#include "gui/views/widget_dump.h"

namespace shardscope::gui {
namespace {

class MainWindowTest : public testing::Test {
protected:
    MainWindowTest() {
        workspace_.open_first();
        workspace_.session().wait();
        window_ = std::make_unique<MainWindow>(workspace_, nullptr, QPalette());
        window_->show();
        settle();
    }

    static Session::Options options() {
        Session::Options options;
        options.machine.cores = 2;
        options.parse.cores = 2;
        options.program = SHARDSCOPE_BINARY;
        return options;
    }
    void settle() {
        workspace_.session().wait();
        QApplication::processEvents();
    }
    template <class Widget>
    Widget& find(const char* name) {
        auto* const widget = window_->findChild<Widget*>(name);
        if (widget == nullptr) throw std::runtime_error(std::string("no ") + name);
        return *widget;
    }
    void drop(const QStringList& paths) {
        QMimeData data;
        QList<QUrl> urls;
        for (const QString& path : paths) urls << QUrl::fromLocalFile(path);
        data.setUrls(urls);
        QDragEnterEvent enter(QPoint(10, 10), Qt::CopyAction, &data, Qt::LeftButton,
                              Qt::NoModifier);
        QApplication::sendEvent(window_.get(), &enter);
        QDropEvent event(QPointF(10, 10), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QApplication::sendEvent(window_.get(), &event);
        settle();
    }
    QString write(const QString& name, const QByteArray& text) {
        const QString path = folder_.filePath(name);
        QFile file(path);
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(text);
        return path;
    }
    int rows() { return workspace_.table().rowCount(); }

    QTemporaryDir folder_;
    Workspace workspace_{options()};
    std::unique_ptr<MainWindow> window_;
};

TEST_F(MainWindowTest, DroppedFilesAreOpenedAsWhatTheyAre) {
    drop({write("ds.json", R"({"train_batch_size": 64, "zero_optimization": {"stage": 3}})")});
    EXPECT_EQ(window_->messages().text(), "");
    ASSERT_EQ(rows(), 9);
    EXPECT_EQ(workspace_.document().scenario().strategies.back().zero, 3);

    drop({write("config.json",
                R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
                    "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100})")});
    EXPECT_EQ(window_->messages().text(), "");
    EXPECT_EQ(rows(), 9);
    EXPECT_EQ(workspace_.session().evaluation()->model->layers.size(), 4u);

    drop({QString(SHARDSCOPE_SOURCE_DIR) + "/scenarios/gpt2-h100.yaml"});
    EXPECT_EQ(rows(), 4);
}

TEST_F(MainWindowTest, WhatCannotBeOpenedChangesNothingAndIsSaid) {
    const auto revision = workspace_.document().revision();
    for (const char* text : {"", "{", "model: nowhere\n", "[1, 2]", "\xff\xfe"}) {
        drop({write("broken.yaml", text)});
        EXPECT_TRUE(window_->messages().text().startsWith("✕")) << text;
        EXPECT_EQ(workspace_.document().revision(), revision) << text;
    }
    drop({folder_.filePath("missing.yaml")});
    EXPECT_TRUE(window_->messages().text().contains("missing.yaml"));
}

// Everything on the toolbar is in a menu, and every command can be reached without a mouse.
TEST_F(MainWindowTest, CommandsHaveMenusAndKeys) {
    QSet<QAction*> in_menus;
    for (QMenu* menu : window_->menuBar()->findChildren<QMenu*>())
        for (QAction* action : menu->actions()) in_menus << action;
    int buttons = 0;
    for (auto* button : find<QToolBar>("toolbar").findChildren<QToolButton*>()) {
        if (button->defaultAction() == nullptr) continue;
        ++buttons;
        EXPECT_TRUE(in_menus.contains(button->defaultAction())) << button->text().toStdString();
        EXPECT_FALSE(button->defaultAction()->shortcuts().isEmpty())
            << button->text().toStdString();
    }
    EXPECT_GE(buttons, 8);
    QMap<QString, QString> keys;
    for (QAction* action : in_menus)
        for (const QKeySequence& key : action->shortcuts()) {
            EXPECT_FALSE(keys.contains(key.toString()))
                << key.toString().toStdString() << ": " << keys[key.toString()].toStdString();
            keys[key.toString()] = action->text();
        }
}

TEST_F(MainWindowTest, EveryControlHasANameForScreenReaders) {
    for (const QWidget* widget : window_->findChildren<QWidget*>()) {
        if (!widget->isVisible() || (widget->focusPolicy() & Qt::TabFocus) == 0) continue;
        if (widget->objectName().startsWith("qt_")) continue;  // parts of a control
        const auto* const button = qobject_cast<const QAbstractButton*>(widget);
        EXPECT_FALSE(widget->accessibleName().isEmpty() &&
                     (button == nullptr || button->text().isEmpty()))
            << widget->objectName().toStdString() << " " << widget->metaObject()->className();
    }
}

TEST_F(MainWindowTest, TheSliderEditsInOneStep) {
    auto& slider = find<QSlider>("sequence_slider");
    const int before = slider.value();
    for (int i = 1; i <= 5; ++i) slider.setValue(before - i);
    settle();
    EXPECT_EQ(find<QSpinBox>("sequence").value(), sequence_at(before - 5));
    EXPECT_TRUE(workspace_.session().up_to_date());
    workspace_.document().undo();
    settle();
    EXPECT_EQ(slider.value(), before);
    EXPECT_FALSE(workspace_.document().can_undo());
}

TEST(SequencePositions, AreExactAndRise) {
    for (int p = 0; p < kSequencePositions; ++p) {
        EXPECT_EQ(position_of_sequence(sequence_at(p)), p);
        if (p % 4 == 0) {
            EXPECT_EQ(sequence_at(p), 128 << (p / 4));
        }
        if (p > 0) {
            EXPECT_GT(sequence_at(p), sequence_at(p - 1));
        }
    }
}

TEST_F(MainWindowTest, AnInvalidValueIsFramedAndExplained) {
    workspace_.session().select(5);
    settle();
    find<QSpinBox>("pp").setValue(3);
    settle();
    EXPECT_TRUE(find<QWidget>("field_frame").isVisible());
    EXPECT_TRUE(find<QLabel>("verdict").text().contains("4 × pp 3 = 12"));
    workspace_.document().undo();
    settle();
    EXPECT_FALSE(find<QWidget>("field_frame").isVisible());
}

// What few strategies have is behind a button, which says how much of it is set.
TEST_F(MainWindowTest, MoreFieldsAreShownWhenAsked) {
    workspace_.session().select(0);
    settle();
    auto& more = find<QToolButton>("more");
    auto& node = find<QSpinBox>("shard_group");
    EXPECT_EQ(more.text(), "More");
    EXPECT_FALSE(node.isVisible());
    more.click();
    settle();
    EXPECT_TRUE(node.isVisible());
    EXPECT_FALSE(node.isEnabled()) << "nothing is sharded";
    find<QSpinBox>("cp").setValue(2);
    settle();
    EXPECT_EQ(more.text(), "More (1 set)");
    EXPECT_EQ(workspace_.document().scenario().strategies[0].cp, 2);
    EXPECT_EQ(workspace_.document().undo_name(), "set context parallel");
    workspace_.document().undo();
    settle();
    EXPECT_EQ(more.text(), "More");
}

TEST_F(MainWindowTest, TheDataParallelDegreesArithmeticHasContextParallelism) {
    workspace_.session().select(0);
    settle();
    EXPECT_EQ(find<QLabel>("dp").text(), "16  (= 16 / (TP·PP))");
    find<QSpinBox>("cp").setValue(2);
    settle();
    EXPECT_EQ(find<QLabel>("dp").text(), "8  (= 16 / (TP·CP·PP))");
}

TEST_F(MainWindowTest, AWrongFieldBehindTheButtonIsShown) {
    workspace_.session().select(0);
    settle();
    EXPECT_FALSE(find<QSpinBox>("ep").isVisible());
    find<QSpinBox>("ep").setValue(2);
    settle();
    EXPECT_TRUE(find<QSpinBox>("ep").isVisible());
    EXPECT_TRUE(find<QWidget>("field_frame").isVisible());
}

TEST(NamedSpinBox, NumbersAreShownAndTypedAsWords) {
    NamedSpinBox box({{-1, "a node"}, {0, "all"}}, nullptr);
    box.setRange(-1, 64);
    EXPECT_EQ(box.text(), "all");
    box.setValue(-1);
    EXPECT_EQ(box.text(), "a node");
    auto* const line = box.findChild<QLineEdit*>();
    for (const auto& [text, value] : {std::pair("8", 8), {"All", 0}, {"a node", -1}, {"", -1}}) {
        line->setText(text);
        box.interpretText();
        EXPECT_EQ(box.value(), value) << text;
    }
}

TEST(NamedSpinBox, AUnitStandsBehindNumbersOnly) {
    NamedSpinBox box({{0, "auto"}}, nullptr);
    box.setRange(0, 4096);
    box.set_unit("MiB");
    EXPECT_EQ(box.text(), "auto");
    box.setValue(25);
    EXPECT_EQ(box.text(), "25 MiB");
    auto* const line = box.findChild<QLineEdit*>();
    for (const auto& [text, value] : {std::pair("auto", 0),
                                      {"64", 64},
                                      {"AUTO", 0},
                                      {"32 MiB", 32},
                                      {"16mi", 16},
                                      {"auto MiB", 0}}) {
        line->clear();
        QTest::keyClicks(line, text);
        EXPECT_EQ(line->text(), text) << "can be typed";
        box.interpretText();
        EXPECT_EQ(box.value(), value) << text;
    }
    EXPECT_EQ(box.text(), "auto");
    box.stepUp();
    EXPECT_EQ(box.text(), "1 MiB");
    QTest::keyClicks(line, "x");
    EXPECT_EQ(line->text(), "1 MiB");
}

TEST_F(MainWindowTest, RecomputedBlocksStandInOneRow) {
    workspace_.session().select(6);
    settle();
    auto &blocks = find<QSpinBox>("blocks"), &every = find<QSpinBox>("every");
    EXPECT_TRUE(blocks.isEnabled() && every.isEnabled());
    EXPECT_EQ(blocks.y(), every.y());
    EXPECT_LT(blocks.geometry().right(), every.x());
    every.setValue(4);
    settle();
    blocks.setValue(3);
    settle();
    const auto& recompute = workspace_.document().scenario().strategies[6].recompute;
    EXPECT_EQ(recompute_text(recompute), "3 of 4");
    emit find<QComboBox>("recompute").activated(static_cast<int>(Recompute::Kind::full));
    settle();
    EXPECT_EQ(recompute_text(recompute), "3 of 4");
    EXPECT_EQ(blocks.value(), 3);
}

TEST_F(MainWindowTest, TheBucketSaysAutoWithoutAUnit) {
    workspace_.session().select(0);
    settle();
    auto& bucket = find<QSpinBox>("bucket");
    bucket.setValue(0);
    settle();
    EXPECT_EQ(bucket.text(), "auto");
    bucket.setValue(40);
    settle();
    EXPECT_EQ(bucket.text(), "40 MiB");
}

TEST_F(MainWindowTest, BothThemesDrawTheSameChartColours) {
    const auto count = [&](Rgb rgb) {
        const QImage image = window_->picture(1);
        int found = 0;
        for (int y = 0; y < image.height(); ++y)
            for (int x = 0; x < image.width(); ++x)
                found += (image.pixel(x, y) & 0xFFFFFFu) == rgb ? 1 : 0;
        return found;
    };
    std::vector<Rgb> colours;
    for (std::size_t i = 0; i < 4; ++i)
        colours.push_back(category_colour(static_cast<Category>(i)));
    for (const ThemeChoice choice : {ThemeChoice::light, ThemeChoice::dark}) {
        window_->set_theme(choice);
        settle();
        EXPECT_EQ(window_->theme().dark, choice == ThemeChoice::dark);
        for (const Rgb colour : colours) EXPECT_GT(count(colour), 100) << std::hex << colour;
    }
    window_->set_theme(ThemeChoice::light);
}

TEST_F(MainWindowTest, TheDumpSaysWhereThingsAre) {
    const QJsonObject object = dump(*window_, workspace_);
    EXPECT_EQ(object["strategies"].toArray().size(), 8);
    EXPECT_TRUE(object["up_to_date"].toBool());
    EXPECT_EQ(object["charts"].toObject()["memory"].toObject()["rows"].toArray().size(), 8);
}

}  // namespace
}  // namespace shardscope::gui
