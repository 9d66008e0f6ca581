#include "gui/views/theme.h"

#include <gtest/gtest.h>

namespace shardscope::gui {
namespace {

constexpr double kReadable = 4.5;  // WCAG 2.2, 1.4.3

void expect_contrast(const QColor& text, const QColor& ground, const char* what) {
    EXPECT_GE(Theme::contrast(text, ground), kReadable)
        << what << ": " << text.name().toStdString() << " on " << ground.name().toStdString();
}

TEST(Theme, ContrastIsThatOfTheStandard) {
    EXPECT_NEAR(Theme::contrast(Qt::black, Qt::white), 21, 1e-9);
    EXPECT_NEAR(Theme::contrast(Qt::white, Qt::white), 1, 1e-9);
    // Of #767676 on white, the standard's own example of what is just enough.
    EXPECT_NEAR(Theme::contrast(QColor(0x76, 0x76, 0x76), Qt::white), 4.54, 0.01);
}

TEST(Theme, EveryTextReadsOnWhatItStandsOn) {
    for (const Theme& theme : {Theme::light(), Theme::dark_theme()}) {
        SCOPED_TRACE(theme.dark ? "dark" : "light");
        for (const QColor& ground : {theme.window, theme.panel, theme.selection}) {
            expect_contrast(theme.text, ground, "text");
            expect_contrast(theme.muted, ground, "muted");
            expect_contrast(theme.alert, ground, "alert");
        }
        const QPalette palette = theme.palette();
        using Role = QPalette::ColorRole;
        for (const auto& [text, ground] : std::initializer_list<std::pair<Role, Role>>{
                 {QPalette::WindowText, QPalette::Window},
                 {QPalette::Text, QPalette::Base},
                 {QPalette::Text, QPalette::AlternateBase},
                 {QPalette::ButtonText, QPalette::Button},
                 {QPalette::ToolTipText, QPalette::ToolTipBase},
                 {QPalette::HighlightedText, QPalette::Highlight},
                 {QPalette::Link, QPalette::Base},
                 {QPalette::PlaceholderText, QPalette::Base}})
            expect_contrast(palette.color(text), palette.color(ground), "palette");
    }
}

TEST(Theme, TextInsideBarsReads) {
    for (std::size_t i = 0; i < kCategories; ++i) {
        const QColor fill = colour(category_colour(static_cast<Category>(i)));
        expect_contrast(Theme::text_on(fill), fill, "category");
    }
    for (std::size_t i = 0; i < kStepParts; ++i) {
        const QColor fill = colour(step_part_colour(static_cast<StepPart>(i)));
        expect_contrast(Theme::text_on(fill), fill, "part of a step");
    }
}

TEST(Theme, SystemGoesByThePlatformsLuminance) {
    QPalette dark;
    dark.setColor(QPalette::Window, QColor(30, 30, 30));
    EXPECT_TRUE(Theme::of(ThemeChoice::system, dark).dark);
    EXPECT_FALSE(Theme::of(ThemeChoice::light, dark).dark);
    EXPECT_FALSE(Theme::of(ThemeChoice::system, Theme::light().palette()).dark);
    EXPECT_TRUE(Theme::of(ThemeChoice::dark, Theme::light().palette()).dark);
}

TEST(Theme, NamesGoBothWays) {
    for (const auto choice : {ThemeChoice::system, ThemeChoice::light, ThemeChoice::dark})
        EXPECT_EQ(theme_named(theme_name(choice)), choice);
    EXPECT_EQ(theme_named("blue"), std::nullopt);
}

}  // namespace
}  // namespace shardscope::gui
