// CSV as RFC 4180 has it: what is read back is what was written, and what is not CSV is refused with its place.
#include "core/csv_reader.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/report/csv_text.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CsvReader, ReadsFieldsQuotesAndLineEnds) {
    const CsvTable table = parse_csv(
        "\xEF\xBB\xBF"
        "a,b,c\r\n1,,\"x, \"\"y\"\"\"\n\n\"two\r\nlines\",z,\"\"",
        "f.csv");
    EXPECT_THAT(table.columns, ElementsAre("a", "b", "c"));
    ASSERT_EQ(table.rows.size(), 2u);
    EXPECT_THAT(table.rows[0].fields, ElementsAre("1", "", "x, \"y\""));
    EXPECT_EQ(table.rows[0].line, 2);
    EXPECT_THAT(table.rows[1].fields, ElementsAre("two\r\nlines", "z", ""));
    EXPECT_EQ(table.rows[1].line, 4);
}

void expect_csv_refused(const std::string& text, const char* message) {
    try {
        parse_csv(text, "f.csv");
        ADD_FAILURE() << "not refused: " << text;
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "csv");
        EXPECT_EQ(error.exit_code(), 3);
        EXPECT_THAT(error.message, HasSubstr(message));
        EXPECT_FALSE(error.fix.empty());
    }
}

TEST(CsvReader, SaysWhereAFileIsNotCsv) {
    expect_csv_refused("", "f.csv: no line with column names");
    expect_csv_refused("\n\n", "f.csv: no line with column names");
    expect_csv_refused("a,b\n1,\"x\n\n",
                       "f.csv:4:1: the quote that opened in line 2 is not closed");
    expect_csv_refused("a,b\n1,x\"y\"\n", "f.csv:2:4: a quote inside a field");
    expect_csv_refused("a,b\n\"x\"y,1\n", "f.csv:2:4: text behind a closing quote");
    expect_csv_refused("a,b\n1,\rx\n", "f.csv:2:3: a carriage return");
    expect_csv_refused("a,b\n1,2\n1\n", "f.csv:3: 1 fields, but there are 2 columns");
    expect_csv_refused("a,b\n1,2,3\n", "f.csv:2: 3 fields, but there are 2 columns");
    expect_csv_refused("a,,c\n", "f.csv:1: column 2 has no name");
    expect_csv_refused("a,b,a\n", "f.csv:1: column \"a\" is there twice");
}

std::string random_text(std::mt19937& random, std::string_view alphabet, int most) {
    std::string text;
    for (int n = static_cast<int>(random() % static_cast<unsigned>(most + 1)); n > 0; --n)
        text += alphabet[random() % alphabet.size()];
    return text;
}

TEST(CsvReader, ReadsBackWhatCsvLinesWrite) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 500; ++round) {
        const std::size_t columns = 2 + random() % 4;
        std::vector<std::vector<std::string>> rows;
        std::string text, ends = random() % 2 ? "\r\n" : "\n";
        const auto add = [&](const std::vector<std::string>& fields) {
            std::string line = csv_line(fields);
            line.pop_back();
            text += line + ends;
        };
        std::vector<std::string> header;
        for (std::size_t c = 0; c < columns; ++c) header.push_back("c" + std::to_string(c));
        add(header);
        for (std::size_t r = random() % 5; r > 0; --r) {
            rows.emplace_back();
            for (std::size_t c = 0; c < columns; ++c)
                rows.back().push_back(random_text(random, "ab,\"\n\r ", 6));
            add(rows.back());
        }
        const CsvTable table = parse_csv(text, "f.csv");
        EXPECT_EQ(table.columns, header);
        ASSERT_EQ(table.rows.size(), rows.size()) << text;
        for (std::size_t r = 0; r < rows.size(); ++r) EXPECT_EQ(table.rows[r].fields, rows[r]);
    }
}

TEST(CsvReader, AnyBytesAreReadOrRefused) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 5000; ++round) {
        const std::string text = random_text(random, "a,\"\r\n", 24);
        try {
            const CsvTable table = parse_csv(text, "f.csv");
            for (const CsvRow& row : table.rows)
                EXPECT_EQ(row.fields.size(), table.columns.size()) << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.rule, "csv") << text;
        }
    }
}

}  // namespace
}  // namespace shardscope
