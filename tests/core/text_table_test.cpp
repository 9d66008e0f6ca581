#include "core/report/text_table.h"

#include <gtest/gtest.h>

#include "core/report/figures.h"

namespace shardscope {
namespace {

TEST(TextTable, AlignsColumnsByWidestCell) {
    TextTable table;
    table.add_column("name", TextTable::Align::left);
    table.add_column("peak\nGiB");
    table.add_row({"ddp", "9.20"});
    table.add_row({"a long name", "110.00"});
    EXPECT_EQ(table.to_string(),
              "               peak\n"
              "name            GiB\n"
              "-----------  ------\n"
              "ddp            9.20\n"
              "a long name  110.00\n");
}

TEST(TextTable, WidthCountsCharactersNotBytes) {
    EXPECT_EQ(display_width("4 × 16"), 6u);
    EXPECT_EQ(display_width("µs → s"), 6u);
    EXPECT_EQ(display_width("並列"), 4u);
    EXPECT_EQ(display_width("e\u0301"), 1u);
    EXPECT_EQ(display_width("\xFF\xC3"), 2u);  // neither is UTF-8
    EXPECT_EQ(display_width(""), 0u);
}

TEST(TextTable, MissingCellsAreEmptyAndLinesHaveNoTrailingSpaces) {
    TextTable table;
    table.add_column("a", TextTable::Align::left);
    table.add_column("b", TextTable::Align::left);
    EXPECT_TRUE(table.empty());
    table.add_row({"x"});
    EXPECT_FALSE(table.empty());
    EXPECT_EQ(table.to_string(), "a  b\n-  -\nx\n");
}

TEST(TextTable, ControlCharactersDoNotReachTheTerminal) {
    TextTable table;
    table.add_column("a", TextTable::Align::left);
    table.add_row({"red \x1B[31m\nline"});
    EXPECT_EQ(table.to_string(), "a\n--------------\nred  [31m line\n");
}

TEST(Figures, MemoryIsMebibytesOnlyWhenNothingReachesATenthOfAGibibyte) {
    EXPECT_STREQ(MemoryUnit(Bytes(100 << 20)).name(), "MiB");
    EXPECT_STREQ(MemoryUnit(Bytes(103 << 20)).name(), "GiB");
    EXPECT_EQ(MemoryUnit(Bytes(100 << 20)).format(Bytes(3 << 19)), "1.50");
    EXPECT_EQ(MemoryUnit(Bytes(1 << 30)).format(Bytes(3 << 29)), "1.50");
}

TEST(Figures, TimesShareOneUnitAndAsManyDecimalsAsTheLargestNeeds) {
    EXPECT_STREQ(TimeUnit(Seconds(0.5)).name(), "ms");
    EXPECT_STREQ(TimeUnit(Seconds(1.0)).name(), "s");
    EXPECT_EQ(TimeUnit(Seconds(0.5)).format(Seconds(0.00123)), "1.2");
    EXPECT_EQ(TimeUnit(Seconds(0.005)).format(Seconds(0.00123)), "1.230");
    EXPECT_EQ(TimeUnit(Seconds(20)).format(Seconds(1.239)), "1.24");
    EXPECT_EQ(TimeUnit(Seconds(20)).format(Seconds(0.0 / 0.0)), kUnknown);
}

TEST(Figures, CountsHaveSeparators) {
    EXPECT_EQ(format_count(std::int64_t{0}), "0");
    EXPECT_EQ(format_count(std::int64_t{999}), "999");
    EXPECT_EQ(format_count(std::int64_t{1000}), "1,000");
    EXPECT_EQ(format_count(std::int64_t{-123456}), "-123,456");
    EXPECT_EQ(format_count(1234567.6), "1,234,568");
    EXPECT_EQ(format_count(1e300), kUnknown);
    EXPECT_EQ(format_amount(0), "0");
    EXPECT_EQ(format_amount(0.29634), "0.296");
    EXPECT_EQ(format_amount(0.000123456), "0.000123");
    EXPECT_EQ(format_amount(1.5e-9), "1.50e-09");
    EXPECT_EQ(format_amount(7.407), "7.41");
    EXPECT_EQ(format_amount(99.94), "99.9");
    EXPECT_EQ(format_amount(99.96), "100");
    EXPECT_EQ(format_amount(12345.6), "12,346");
    EXPECT_EQ(format_amount(1e300), kUnknown);
    EXPECT_EQ(format_difference(0), "0");
    EXPECT_EQ(format_difference(1024), "+1,024");
    EXPECT_EQ(format_percent(0.4123), "41.2");
}

}  // namespace
}  // namespace shardscope
