// What the charts' pictures show, pixel by pixel.
#include <QDir>
#include <QTest>
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/gui/views/bar_charts.h"
#include "tests/gui/views/text_recorder.h"

namespace shardscope::gui {
namespace {

using test::comparison, test::show, test::TextRecorder;

const QSize kWide(1200, 340);

std::set<QRgb> colours_of(const QImage& image) {
    std::set<QRgb> colours;
    for (int y = 0; y < image.height(); ++y)
        for (int x = 0; x < image.width(); ++x) colours.insert(image.pixel(x, y) & 0xFFFFFF);
    return colours;
}

// Pixels of that colour in a row of the picture.
int count_in_line(const QImage& image, int y, Rgb wanted) {
    int count = 0;
    for (int x = 0; x < image.width(); ++x) count += (image.pixel(x, y) & 0xFFFFFF) == wanted;
    return count;
}

QImage grab(RowChart& chart) {
    return chart.grab().toImage().convertToFormat(QImage::Format_RGB32);
}

TEST(BarPicture, HasEveryCategorysColour) {
    MemoryChart chart;
    chart.set_bars(memory_by_strategy(comparison()));
    for (const Theme& theme : {Theme::light(), Theme::dark_theme()}) {
        const std::set<QRgb> colours = colours_of(chart.image(kWide, 1, theme));
        for (std::size_t i = 0; i < kCategories; ++i)
            EXPECT_TRUE(colours.contains(category_colour(static_cast<Category>(i)))) << i;
        EXPECT_TRUE(colours.contains(kAlertColour)) << "the capacity line";
    }
}

TEST(BarPicture, LengthsAreProportionalToBytes) {
    MemoryChart chart;
    chart.set_bars(memory_by_strategy(comparison()));
    show(chart, kWide);
    const QImage image = grab(chart);
    const double per_gib = chart.x_of(1) - chart.x_of(0);
    ASSERT_GT(per_gib, 5);
    for (const int row : {1, 2, 3, 4, 5, 6}) {
        SCOPED_TRACE(row);
        const MemoryRow& data = chart.bars().rows[static_cast<std::size_t>(row)];
        const QRectF bar = chart.bar_rect(row);
        // Both ends are rounded to whole pixels.
        EXPECT_NEAR(bar.width(), per_gib * gib(data.peak), 1.0);
        if (row == 1) continue;  // hatched at its end
        const int y = static_cast<int>(bar.top()) + 2;
        for (std::size_t i = 0; i < kCategories; ++i) {
            const double expected = per_gib * gib(data.categories[i]);
            if (expected < 4) continue;
            // One pixel of a segment is the gap to the next one or the bar's outline; the first has both.
            const int shown = count_in_line(image, y, category_colour(static_cast<Category>(i))) +
                              (i == 0 ? 2 : 1);
            EXPECT_NEAR(shown, expected, 1.0) << i;
        }
    }
}

TEST(BarPicture, RepeatsByteByByte) {
    for (const Theme& theme : {Theme::light(), Theme::dark_theme()}) {
        MemoryChart one, other;
        one.set_bars(test::measured_memory());
        other.set_bars(test::measured_memory());
        EXPECT_EQ(one.image(kWide, 2, theme), other.image(kWide, 2, theme));
        EXPECT_EQ(one.image(kWide, 2, theme), one.image(kWide, 2, theme));
    }
}

TEST(BarPicture, FilesLeaveTheScreenAsItIs) {
    MemoryChart chart;
    chart.set_bars(test::many_rows(60));
    chart.set_theme(Theme::dark_theme());
    show(chart, {500, 300});
    chart.set_selected(40);
    QCoreApplication::processEvents();
    const QImage before = grab(chart);
    const QRectF row = chart.row_rect(40);
    ASSERT_FALSE(row.isEmpty());
    int frames = 0;
    QObject::connect(&chart, &QCustomPlot::beforeReplot, [&] { ++frames; });
    chart.image({900, 700}, 2, Theme::light());
    EXPECT_EQ(chart.row_rect(40), row) << "the mouse goes by the screen's layout";
    EXPECT_TRUE(chart.theme().dark);
    QCoreApplication::processEvents();
    EXPECT_EQ(frames, 0);
    EXPECT_EQ(grab(chart), before);
    chart.replot();
    EXPECT_EQ(grab(chart), before);
}

TEST(BarPicture, SidesLineUp) {
    MemoryChart memory;
    StepChart time;
    memory.align_with(&time);
    memory.set_bars(test::measured_memory());
    time.set_bars(test::measured_time());
    for (const int width : {200, 300, 640}) {  // legends of different heights
        show(memory, {width, 360});
        show(time, {700 - width, 360});
        memory.replot();
        for (int row = 0; row < 8; ++row) {
            EXPECT_EQ(memory.row_rect(row).top(), time.row_rect(row).top()) << width;
            EXPECT_EQ(memory.row_rect(row).height(), time.row_rect(row).height()) << width;
        }
    }
}

TEST(BarPicture, ScrollsTogether) {
    MemoryChart memory;
    StepChart time;
    memory.align_with(&time);
    memory.set_bars(test::many_rows(60));
    StepBars steps = step_bars(comparison());
    const std::vector<StepRow> some = steps.rows;
    steps.rows.clear();
    for (int i = 0; i < 60; ++i) {
        steps.rows.push_back(some[static_cast<std::size_t>(i) % some.size()]);
        steps.rows.back().strategy = i;
    }
    time.set_bars(steps);
    show(memory, {500, 300});
    show(time, {300, 300});
    memory.set_selected(50);
    QCoreApplication::processEvents();
    EXPECT_FALSE(memory.row_rect(50).isEmpty());
    EXPECT_TRUE(memory.row_rect(0).isEmpty());
    EXPECT_EQ(memory.row_rect(50), QRectF(time.row_rect(50).topLeft(), memory.row_rect(50).size()));
}

TEST(BarPicture, ASelectionIsInViewAtTheFirstLayout) {
    for (const int selected : {0, 1, 40, 59}) {
        MemoryChart before_rows, before_layout;
        before_rows.set_selected(selected);
        before_rows.set_bars(test::many_rows(60));
        before_layout.set_bars(test::many_rows(60));
        before_layout.set_selected(selected);
        for (MemoryChart* chart : {&before_rows, &before_layout}) {
            show(*chart, {500, 300});
            EXPECT_FALSE(chart->row_rect(selected).isEmpty()) << selected;
            EXPECT_EQ(chart->row_rect(0).isEmpty(), selected >= 40) << selected;
        }
    }
}

TEST(BarPicture, ASelectionStaysInViewUntilItIsScrolledAway) {
    MemoryChart chart;
    chart.set_bars(test::many_rows(30));
    show(chart, {500, 300});
    chart.set_selected(50);  // a strategy whose row is yet to come
    chart.set_bars(test::many_rows(60));
    show(chart, {500, 300});
    EXPECT_FALSE(chart.row_rect(50).isEmpty());
    show(chart, {500, 200});
    EXPECT_FALSE(chart.row_rect(50).isEmpty()) << "fewer rows fit";
    QTest::keyClick(&chart, Qt::Key_PageUp);
    QTest::keyClick(&chart, Qt::Key_PageUp);
    chart.replot();
    EXPECT_TRUE(chart.row_rect(50).isEmpty());
    chart.image({900, 1800}, 1, Theme::light());
    chart.set_bars(test::many_rows(60));
    show(chart, {500, 240});
    EXPECT_TRUE(chart.row_rect(50).isEmpty()) << "who scrolls away wants to see something else";
}

TEST(BarPicture, SaysInFullWhichRowsAreShown) {
    for (const int width : {200, 500}) {
        MemoryChart chart;
        MemoryBars bars = test::many_rows(100);
        for (MemoryRow& row : bars.rows) row.name = "a";
        chart.set_bars(bars);
        show(chart, {width, 300});
        chart.set_selected(99);
        TextRecorder recorder({width, 300});
        QCPPainter painter(&recorder);
        chart.toPainter(&painter, width, 300);
        painter.end();
        const bool said = std::ranges::any_of(
            recorder.texts, [](const auto& text) { return text.text.endsWith("–100 of 100"); });
        EXPECT_TRUE(said) << width;
    }
}

TEST(BarPicture, FilesShowAllRows) {
    MemoryChart chart;
    chart.set_bars(test::many_rows(57));
    TextRecorder recorder({700, 900});
    QCPPainter painter(&recorder);
    chart.draw_to(painter, {700, 900}, Theme::light());
    painter.end();
    for (const MemoryRow& row : chart.bars().rows) {
        const bool shown = std::any_of(recorder.texts.begin(), recorder.texts.end(),
                                       [&](const auto& text) { return text.text == row.name; });
        EXPECT_TRUE(shown) << row.name.toStdString();
    }
}

TEST(BarPicture, FilesThatAreTooSmallSayWhatIsMissing) {
    MemoryChart chart;
    chart.set_bars(test::many_rows(500));
    TextRecorder recorder({700, 400});
    QCPPainter painter(&recorder);
    chart.draw_to(painter, {700, 400}, Theme::light());
    painter.end();
    const bool said =
        std::any_of(recorder.texts.begin(), recorder.texts.end(), [](const auto& text) {
            return text.text.startsWith("… and ") && text.text.endsWith(" more");
        });
    EXPECT_TRUE(said);
}

// No two texts cover each other, none leaves the picture, and all can be read on what is behind them.
void expect_readable(RowChart& chart, const QSize& size, const Theme& theme) {
    SCOPED_TRACE(testing::Message() << chart.objectName().toStdString() << ' ' << size.width()
                                    << " × " << size.height() << (theme.dark ? " dark" : " light"));
    TextRecorder recorder(size);
    QCPPainter painter(&recorder);
    chart.draw_to(painter, size, theme);
    painter.end();
    const QImage image = chart.image(size, 1, theme);
    const auto& texts = recorder.texts;
    ASSERT_FALSE(texts.empty());
    for (std::size_t i = 0; i < texts.size(); ++i) {
        // Lines of text may touch: of their height, a pixel belongs to the space between lines.
        const QRectF rect = texts[i].rect.adjusted(0, 1, 0, -1);
        EXPECT_TRUE(QRectF(QPointF(0, 0), size).adjusted(-1, -1, 1, 1).contains(rect))
            << texts[i].text.toStdString();
        for (std::size_t j = 0; j < i; ++j)
            EXPECT_FALSE(rect.intersects(texts[j].rect.adjusted(0, 1, 0, -1)))
                << texts[i].text.toStdString() << " covers " << texts[j].text.toStdString();
        // The ground is what most pixels show.
        std::map<QRgb, int> count;
        const QRect pixels = rect.toAlignedRect().intersected(image.rect());
        for (int y = pixels.top(); y <= pixels.bottom(); ++y)
            for (int x = pixels.left(); x <= pixels.right(); ++x) ++count[image.pixel(x, y)];
        const auto most = std::max_element(count.begin(), count.end(),
                                           [](auto& a, auto& b) { return a.second < b.second; });
        if (most == count.end()) continue;
        EXPECT_GE(Theme::contrast(texts[i].colour, QColor(most->first)), 4.5)
            << texts[i].text.toStdString();
    }
}

TEST(BarPicture, TextsCanBeReadAtEverySize) {
    MemoryChart memory;
    StepChart time;
    memory.set_bars(test::measured_memory());
    time.set_bars(test::measured_time());
    memory.set_selected(2);
    time.set_selected(2);
    for (const QSize& size : {QSize(200, 300), QSize(280, 260), QSize(500, 320), QSize(1200, 500)})
        for (const Theme& theme : {Theme::light(), Theme::dark_theme()})
            for (RowChart* chart : {static_cast<RowChart*>(&memory), static_cast<RowChart*>(&time)})
                expect_readable(*chart, size, theme);
}

TEST(BarPicture, OtherShapesOfDataCanBeReadToo) {
    MemoryChart chart;
    const auto check = [&](const MemoryBars& bars) {
        chart.set_bars(bars);
        for (const MemoryShow show :
             {MemoryShow::binary, MemoryShow::decimal, MemoryShow::percent}) {
            chart.set_show(show);
            expect_readable(chart, {420, 300}, Theme::light());
        }
    };
    check({});  // nothing at all
    MemoryBars invalid = memory_by_strategy(comparison());
    invalid.rows.erase(invalid.rows.begin(), invalid.rows.end() - 1);
    check(invalid);  // nothing but an invalid one
    check(memory_by_rank(comparison(), 5));
    MemoryBars named = memory_by_strategy(comparison());
    named.rows[0].name = QString(200, 'x');
    check(named);
    check(memory_by_strategy(test::evaluated("mlp.yaml")));  // next to nothing on a large machine
    check(memory_by_strategy(test::evaluated("llama-3-405b-16384.yaml")));
}

TEST(BarPicture, ACapacityFarAwayStaysInThePicture) {
    MemoryBars bars = memory_by_strategy(comparison());
    bars.capacity = Bytes(100LL << 40);
    MemoryChart chart;
    chart.set_bars(bars);
    show(chart, {600, 320});
    EXPECT_GT(chart.bar_rect(2).width(), 40) << "bars are not crushed by it";
    EXPECT_TRUE(colours_of(grab(chart)).contains(kAlertColour));
}

// For eyes: light and dark, wide and narrow, one and two pixels per unit.
TEST(BarPicture, IsKeptForEyes) {
    QDir().mkpath(SHARDSCOPE_PICTURES);
    MemoryChart memory;
    StepChart time;
    memory.set_bars(test::measured_memory());
    time.set_bars(test::measured_time());
    for (RowChart* chart : {static_cast<RowChart*>(&memory), static_cast<RowChart*>(&time)}) {
        chart->set_selected(5);
        for (const Theme& theme : {Theme::light(), Theme::dark_theme()}) {
            const QString name =
                SHARDSCOPE_PICTURES "/" + chart->objectName() + (theme.dark ? "-dark" : "-light");
            EXPECT_TRUE(chart->image({560, 320}, 2, theme).save(name + "-2x.png"));
            EXPECT_TRUE(chart->image({260, 300}, 1, theme).save(name + "-narrow.png"));
        }
    }
}

}  // namespace
}  // namespace shardscope::gui
