#include "gui/views/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope::gui {
namespace {

Options parse(QStringList words) {
    words.prepend("shardscope-gui");
    return parse_options(words);
}

std::string refusal(const QStringList& words) {
    try {
        parse(words);
    } catch (const Error& error) {
        EXPECT_EQ(error.exit_code(), 2);
        EXPECT_EQ(error.rule, "usage");
        EXPECT_FALSE(error.fix.empty());
        return error.what();
    }
    return "accepted";
}

TEST(Options, WithoutWordsAWindowIsShown) {
    const Options options = parse({});
    EXPECT_FALSE(options.headless());
    EXPECT_TRUE(options.files.isEmpty());
    EXPECT_EQ(options.scale, 1);
    EXPECT_FALSE(options.theme);
}

TEST(Options, EveryOptionIsRead) {
    const Options options =
        parse({"a.yaml", "b.json", "--export", "m.svg", "--export", "n.pdf", "--chart", "memory",
               "--select", "3", "--theme", "dark", "--size", "800x600", "--scale", "2.5"});
    EXPECT_TRUE(options.headless());
    EXPECT_EQ(options.files, QStringList({"a.yaml", "b.json"}));
    EXPECT_EQ(options.exported, QStringList({"m.svg", "n.pdf"}));
    EXPECT_EQ(options.chart, "memory");
    EXPECT_EQ(options.select, 3);
    EXPECT_EQ(options.theme, ThemeChoice::dark);
    EXPECT_EQ(options.size, QSize(800, 600));
    EXPECT_EQ(options.scale, 2.5);
}

TEST(Options, WrongWordsAreRefusedWithARemedy) {
    EXPECT_THAT(refusal({"--exprot", "x.png"}), testing::HasSubstr("--export"));
    EXPECT_THAT(refusal({"--export", "x.png"}), testing::HasSubstr("--chart"));
    EXPECT_THAT(refusal({"--export", "x.bmp", "--chart", "memory"}), testing::HasSubstr(".svg"));
    EXPECT_THAT(refusal({"--export", "x.png", "--chart", "memoy"}), testing::HasSubstr("memory"));
    EXPECT_THAT(refusal({"--export", "x.csv", "--chart", "memory"}), testing::HasSubstr("chart"));
    EXPECT_THAT(refusal({"--chart", "memory"}), testing::HasSubstr("--export"));
    EXPECT_THAT(refusal({"--screenshot", "x.jpg"}), testing::HasSubstr(".png"));
    for (const char* size : {"800", "800x", "x600", "50x600", "800x600x2", "1e3x600", "99999x100"})
        EXPECT_THAT(refusal({"--size", size}), testing::HasSubstr("1440x900")) << size;
    for (const char* scale : {"0", "nan", "9", "-1", "two"})
        EXPECT_THAT(refusal({"--scale", scale}), testing::HasSubstr("0.25")) << scale;
    for (const char* row : {"0", "-1", "first"})
        EXPECT_THAT(refusal({"--select", row}), testing::HasSubstr("1 or more")) << row;
    EXPECT_THAT(refusal({"--theme", "black"}), testing::HasSubstr("dark"));
    EXPECT_THAT(refusal({"--export"}), testing::HasSubstr("--help"));
}

}  // namespace
}  // namespace shardscope::gui
