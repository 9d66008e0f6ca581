#include "gui/models/step_bars.h"

#include <QStringList>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gui/evaluated.h"

namespace shardscope::gui {
namespace {

using test::comparison;

TEST(StepBars, PrintsTheComparison) {
    EXPECT_EQ(
        to_text(step_bars(comparison())),
        R"(strategy           compute  exposed communication  bubble  optimizer  step time s    measured  note
-----------------  -------  ---------------------  ------  ---------  -------------  --------  -----------------------------------------------------
DDP                   6.19                   0.01    0.00       0.30  6.50 s · 66 %  –         does not fit
ZeRO-1                6.17                   0.13    0.00       0.02  6.33 s · 68 %  –         does not fit
ZeRO-2                6.22                   0.15    0.00       0.02  6.40 s · 67 %  –
ZeRO-3                6.52                   0.05    0.00       0.02  6.59 s · 65 %  –
TP8, ZeRO-1           6.17                   2.48    0.00       0.02  8.67 s · 50 %  –
TP4 × PP4             6.87                   0.85    0.35       0.02  8.09 s · 53 %  –
TP2 × PP4, ZeRO-1     7.94                   0.36    0.75       0.02  9.06 s · 48 %  –
TP8 × PP3                –                      –       –          –  –              –         world-size: tp 8 × pp 3 = 24 does not divide 16 ranks
)");
}

TEST(StepBars, PartsSumToTheStepOfTheReport) {
    const StepBars bars = step_bars(comparison());
    ASSERT_EQ(bars.rows.size(), comparison().report.strategies.size());
    for (std::size_t i = 0; i < bars.rows.size(); ++i) {
        const StepRow& row = bars.rows[i];
        const auto& result = comparison().report.strategies[i].simulated;
        EXPECT_EQ(row.known, result.has_value());
        if (!row.known) continue;
        EXPECT_EQ(row.step_time, result->step_time);
        EXPECT_EQ(row.mfu, result->mfu);
        Seconds sum;
        for (const Seconds part : row.parts) sum += part;
        // The parts are differences of times: rounding of the last bits.
        EXPECT_NEAR(sum.value, row.step_time.value, 1e-12 * row.step_time.value)
            << row.name.toStdString();
    }
}

TEST(StepBars, OneUnitAndThreeDigits) {
    const auto text = [](double longest, double time) {
        const StepScale scale{Seconds(longest)};
        return (scale.format(Seconds(time)) + ' ' + scale.unit()).toStdString();
    };
    EXPECT_EQ(text(7.7, 0.943), "0.94 s");
    EXPECT_EQ(text(77, 5.467), "5.5 s");
    EXPECT_EQ(text(770, 5.467), "5 s");
    EXPECT_EQ(text(0.5, 0.0123), "12 ms");
    EXPECT_EQ(text(0.0123, 0.0123), "12.3 ms");
    EXPECT_EQ(text(0.00012, 0.00005), "50 µs");
    EXPECT_EQ(text(0, 0), "0.00 s");
}

TEST(StepBars, TooltipHasEveryPartAndItsShare) {
    const StepBars bars = step_bars(comparison());
    const QStringList lines = tooltip(bars.rows[5], scale_of(bars), bars.samples).split('\n');
    ASSERT_GE(lines.size(), 8);
    double share = 0;
    for (std::size_t i = 0; i < kStepParts; ++i) {
        const QString& line = lines[static_cast<qsizetype>(i) + 1];
        EXPECT_TRUE(line.startsWith(step_part_title(static_cast<StepPart>(i))));
        share += line.section('\t', 2).remove(" %").toDouble();
    }
    EXPECT_NEAR(share, 100, 4 * 0.05 + 1e-9) << "four figures with one decimal";
    EXPECT_TRUE(lines[5].startsWith("Step time\t8.0")) << lines[5].toStdString();
    EXPECT_THAT(lines[6].toStdString(),
                testing::MatchesRegex("Throughput\t[0-9,]+ tokens/s per GPU"));
}

TEST(StepBars, ShowsMeasurements) {
    MeasuredTime fresh, stale;
    fresh.step_time = Seconds(5.2);
    fresh.error = 0.05;
    stale = fresh;
    stale.stale = true;
    const std::vector<std::optional<MeasuredTime>> runs{fresh, stale};
    const StepBars bars = step_bars(comparison(), runs);
    const StepScale scale = scale_of(bars);
    EXPECT_EQ(measured_label(bars.rows[0], scale).toStdString(), "◆ 5.20 (+5.0 %)");
    EXPECT_EQ(measured_label(bars.rows[1], scale).toStdString(), "◇ 5.20 (stale)");
    EXPECT_EQ(measured_label(bars.rows[2], scale).toStdString(), "");
}

}  // namespace
}  // namespace shardscope::gui
