#include "gui/models/memory_bars.h"

#include <QStringList>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gui/evaluated.h"

namespace shardscope::gui {
namespace {

using test::comparison;

MeasuredMemory measured(double gib_value, double error, bool stale) {
    MeasuredMemory memory;
    memory.peak = Bytes(static_cast<std::int64_t>(gib_value * kGiB));
    memory.error = error;
    memory.stale = stale;
    return memory;
}

TEST(MemoryBars, PrintsTheComparison) {
    EXPECT_EQ(
        to_text(memory_by_strategy(comparison())),
        R"(strategy           parameters  gradients  optimizer_states  activations  communication  workspace  runtime  peak GiB          whose
-----------------  ----------  ---------  ----------------  -----------  -------------  ---------  -------  ----------------  -----------------------------------------------------
DDP                      24.0       24.0             143.8         23.9            0.0        0.0      1.0  216.7 OOM +137.5  ranks 0–15
ZeRO-1                   24.0       24.0               9.0         23.9            0.0        0.0      1.2  82.0 OOM +2.9     ranks 0–15
ZeRO-2                   24.0        1.5               9.0         23.5            1.1        0.1      1.2  60.3 · 76 %       ranks 0–15
ZeRO-3                    1.5        1.5               9.0         22.9            2.9        0.0      1.2  39.0 · 49 %       ranks 0–15
TP8, ZeRO-1               3.0        3.0               9.1          6.4            0.1        0.0      1.4  23.0 · 29 %       ranks 0–15
TP4 × PP4                 1.6        1.6               9.8         11.0            0.1        0.1      1.8  25.9 · 33 %       ranks 0–3, the fullest
TP2 × PP4, ZeRO-1         3.2        3.2               9.6          1.9            0.1        0.0      2.3  20.4 · 26 %       ranks 0–3, the fullest
TP8 × PP3                   –          –                 –            –              –          –        –  –                 world-size: tp 8 × pp 3 = 24 does not divide 16 ranks
usable 79.15 GiB
)");
}

TEST(MemoryBars, PrintsRanksAsTheCommandLineGroupsThem) {
    EXPECT_EQ(
        to_text(memory_by_rank(comparison(), 5)),
        R"(TP4 × PP4    parameters  gradients  optimizer_states  activations  communication  workspace  runtime  peak GiB     whose
-----------  ----------  ---------  ----------------  -----------  -------------  ---------  -------  -----------  -----------
ranks 0–3           1.6        1.6               9.8         11.0            0.1        0.1      1.8  25.9 · 33 %  ranks 0–3
ranks 4–7           1.5        1.5               8.8          8.2            0.2        0.1      1.8  22.0 · 28 %  ranks 4–7
ranks 8–11          1.5        1.5               8.8          5.5            0.2        0.1      1.8  19.2 · 24 %  ranks 8–11
ranks 12–15         1.6        1.6               9.5          2.9            0.1        0.0      1.8  17.4 · 22 %  ranks 12–15
usable 79.15 GiB
)");
}

TEST(MemoryBars, HoldsTheNumbersOfTheReport) {
    const Report& report = comparison().report;
    const MemoryBars bars = memory_by_strategy(comparison());
    ASSERT_EQ(bars.rows.size(), report.strategies.size());
    EXPECT_EQ(bars.capacity, report.scenario.cluster.device.memory);
    for (std::size_t i = 0; i < bars.rows.size(); ++i) {
        SCOPED_TRACE(report.strategies[i].name);
        EXPECT_EQ(bars.rows[i].strategy, static_cast<int>(i));
        EXPECT_EQ(bars.rows[i].known, report.strategies[i].simulated.has_value());
        if (!bars.rows[i].known) continue;
        const MemoryUse& memory = report.strategies[i].simulated->peak_memory();
        EXPECT_EQ(bars.rows[i].categories, memory.categories);
        EXPECT_EQ(bars.rows[i].peak, memory.peak);
        Bytes sum;
        for (const Bytes bytes : bars.rows[i].categories) sum += bytes;
        EXPECT_EQ(sum, bars.rows[i].peak);
    }
}

TEST(MemoryBars, ScalesHaveOneUnitPerChart) {
    const Bytes capacity(80'000'000'000);
    const auto text = [&](MemoryShow show, std::int64_t largest, std::int64_t bytes) {
        const MemoryScale scale(show, Bytes(largest), capacity);
        return (scale.format(Bytes(bytes)) + ' ' + scale.unit()).toStdString();
    };
    EXPECT_EQ(text(MemoryShow::binary, 3LL << 30, 1 << 30), "1.0 GiB");
    EXPECT_EQ(text(MemoryShow::binary, 3 << 20, 1 << 20), "1.0 MiB");
    EXPECT_EQ(text(MemoryShow::decimal, 3'000'000'000, 1'500'000'000), "1.5 GB");
    EXPECT_EQ(text(MemoryShow::decimal, 3'000'000, 1'500'000), "1.5 MB");
    EXPECT_EQ(text(MemoryShow::percent, 3'000'000'000, 20'000'000'000), "25.0 %");
    const MemoryScale scale(MemoryShow::binary, Bytes(3LL << 30), capacity);
    EXPECT_EQ(scale.format_signed(Bytes(-(5LL << 29))).toStdString(), "−2.5");
    EXPECT_EQ(scale.format_signed(Bytes(5LL << 29)).toStdString(), "+2.5");
    EXPECT_EQ(scale.format_signed(Bytes(-1)).toStdString(), "0.0")
        << "what rounds to 0 has no sign";
}

TEST(MemoryBars, HaveTheCapacitysUnitWhereNothingCouldBeSimulated) {
    MemoryBars bars = memory_by_strategy(comparison());
    bars.rows.erase(bars.rows.begin(), bars.rows.end() - 1);
    ASSERT_FALSE(bars.rows.front().known);
    EXPECT_EQ(scale_of(bars, MemoryShow::binary).unit(), "GiB");
    EXPECT_EQ(scale_of(bars, MemoryShow::decimal).unit(), "GB");
}

TEST(MemoryBars, TooltipHasEveryCategoryAndItsBytesSumToThePeak) {
    const MemoryBars bars = memory_by_strategy(comparison());
    for (const MemoryRow& row : bars.rows) {
        if (!row.known) continue;
        const QStringList lines = tooltip(row, bars.capacity, MemoryShow::binary).split('\n');
        ASSERT_GE(lines.size(), 10);
        std::int64_t sum = 0;
        const auto bytes_of = [](const QString& line) {
            return line.section('\t', 2).remove(',').remove(" B").toLongLong();
        };
        for (std::size_t i = 0; i < kCategories; ++i) {
            const QString& line = lines[static_cast<qsizetype>(i) + 1];
            EXPECT_TRUE(line.startsWith(category_title(static_cast<Category>(i))))
                << line.toStdString();
            EXPECT_THAT(line.section('\t', 1, 1).toStdString(),
                        testing::MatchesRegex("[0-9]+\\.[0-9][0-9] GiB"));
            EXPECT_EQ(bytes_of(line), row.categories[i].value);
            sum += bytes_of(line);
        }
        EXPECT_TRUE(lines[8].startsWith("Peak\t"));
        EXPECT_EQ(bytes_of(lines[8]), sum);
        EXPECT_EQ(sum, row.peak.value);
    }
}

TEST(MemoryBars, TooltipOfAnInvalidStrategyIsTheCommandLinesError) {
    const Evaluation& evaluation = comparison();
    const MemoryBars bars = memory_by_strategy(evaluation);
    EXPECT_EQ(tooltip(bars.rows[7], bars.capacity, MemoryShow::binary).toStdString(),
              std::string("TP8 × PP3\n") + evaluation.report.strategies[7].error->what());
}

TEST(MemoryBars, ShowsMeasurementsAndThatTheyAreStale) {
    const std::vector<std::optional<MeasuredMemory>> runs{
        std::nullopt, measured(78.3, 0.0457, false), measured(60, -0.01, true)};
    const MemoryBars bars = memory_by_strategy(comparison(), runs);
    const MemoryScale scale = scale_of(bars, MemoryShow::binary);
    EXPECT_EQ(measured_label(bars.rows[0], scale).toStdString(), "");
    EXPECT_EQ(measured_label(bars.rows[1], scale).toStdString(), "◆ 78.3 (+4.6 %)");
    EXPECT_EQ(measured_label(bars.rows[2], scale).toStdString(), "◇ 60.0 (stale)");
    EXPECT_EQ(measured_label(bars.rows[3], scale).toStdString(), "") << "fewer runs than rows";
    const auto tip = [&](std::size_t row) {
        return tooltip(bars.rows[row], bars.capacity, MemoryShow::binary).toStdString();
    };
    EXPECT_THAT(tip(1), testing::HasSubstr("\nMeasured\t78.30 GiB\t"));
    EXPECT_THAT(tip(1), testing::HasSubstr("\nSimulated against measured\t+4.6 %"));
    EXPECT_THAT(tip(2), testing::HasSubstr("\nMeasured (stale)\t60.00 GiB\t"));
    EXPECT_THAT(tip(2), testing::Not(testing::HasSubstr("against measured")));
}

TEST(MemoryBars, PercentIsOfTheDevice) {
    const MemoryBars bars = memory_by_strategy(comparison());
    const MemoryScale scale = scale_of(bars, MemoryShow::percent);
    EXPECT_EQ(end_label(bars.rows[1], bars.capacity, scale).toStdString(), "103.6 % OOM +3.6");
    EXPECT_EQ(end_label(bars.rows[2], bars.capacity, scale).toStdString(), "76.2 %");
    EXPECT_EQ(capacity_text(bars.capacity, MemoryShow::percent).toStdString(),
              "usable, 100 % = 79.15 GiB");
}

TEST(MemoryBars, WhatHardlyDoesNotFitSaysSo) {
    MemoryRow row;
    row.known = true;
    row.status = Status::does_not_fit;
    row.peak = Bytes((64LL << 30) + 1);
    const Bytes capacity(64LL << 30);
    const MemoryScale scale(MemoryShow::binary, row.peak, capacity);
    EXPECT_EQ(end_label(row, capacity, scale).toStdString(), "64.0 OOM +<0.1");
    row.status = Status::fits;
    row.peak = capacity;
    EXPECT_EQ(end_label(row, capacity, scale).toStdString(), "64.0 · 100 %");
}

TEST(MemoryBars, WhatConcernsAllIsSaidOnce) {
    Evaluation evaluation;
    evaluation.error = Error("model", "there is no such model", "name another one");
    const MemoryBars bars = memory_by_strategy(evaluation);
    EXPECT_TRUE(bars.rows.empty());
    EXPECT_EQ(bars.error.toStdString(), "model: there is no such model; name another one");
}

TEST(MemoryBars, RanksOfWhatCannotBeSimulatedAreNone) {
    EXPECT_TRUE(memory_by_rank(comparison(), 7).rows.empty());
    EXPECT_TRUE(memory_by_rank(comparison(), 7).error.startsWith("world-size: "));
    EXPECT_TRUE(memory_by_rank(comparison(), 99).rows.empty());
}

TEST(MemoryBars, ManyGpusAreAFewRows) {
    const Evaluation evaluation = test::evaluated("llama-3-405b-16384.yaml");
    ASSERT_FALSE(evaluation.report.strategies.empty());
    const MemoryBars ranks = memory_by_rank(evaluation, 0);
    EXPECT_GT(ranks.rows.size(), 1U);
    EXPECT_LE(ranks.rows.size(), 64U);
    EXPECT_TRUE(ranks.rows.back().name.endsWith("16383")) << ranks.rows.back().name.toStdString();
}

}  // namespace
}  // namespace shardscope::gui
