// Charts and reports as files, without a window.
#include <QDir>
#include <QFile>
#include <QStandardItemModel>
#include <QSvgRenderer>
#include <QTemporaryDir>
#include <QThread>

#include <gtest/gtest.h>

#include "gui/views/report_pdf.h"
#include "tests/gui/views/bar_charts.h"

namespace shardscope::gui {
namespace {

using test::comparison;

const QSize kExportSize(700, 340);

QByteArray contents(const QString& path) {
    QFile file(path);
    EXPECT_TRUE(file.open(QIODevice::ReadOnly)) << path.toStdString();
    return file.readAll();
}

class ChartExport : public testing::Test {
protected:
    ChartExport() {
        memory.set_bars(test::measured_memory());
        time.set_bars(test::measured_time());
        memory.align_with(&time);
    }
    QString path(const QString& name) const { return folder.filePath(name); }

    QTemporaryDir folder;
    MemoryChart memory;
    StepChart time;
};

TEST_F(ChartExport, EveryFormatRepeatsByteByByte) {
    const QStringList endings{"png", "svg", "pdf"};
    const auto write = [&](const QString& name) {
        for (const QString& ending : endings) {
            memory.export_to(path("memory-" + name + ending), kExportSize, 2, Theme::light());
            time.export_to(path("time-" + name + ending), kExportSize, 2, Theme::light());
        }
    };
    write("one.");
    QThread::msleep(1100);  // files must not say when they were made
    write("two.");
    for (const QString& ending : endings) {
        for (const QString chart : {"memory-", "time-"}) {
            const QByteArray one = contents(path(chart + "one." + ending));
            EXPECT_GT(one.size(), 3000);
            EXPECT_TRUE(one == contents(path(chart + "two." + ending))) << ending.toStdString();
        }
    }
}

TEST_F(ChartExport, FilesAreWhatTheirEndingSays) {
    memory.export_to(path("a.PNG"), kExportSize, 2, Theme::light());
    EXPECT_EQ(QImage(path("a.PNG")).size(), kExportSize * 2);
    memory.export_to(path("a.svg"), kExportSize, 2, Theme::light());
    QSvgRenderer svg(path("a.svg"));
    EXPECT_TRUE(svg.isValid());
    EXPECT_EQ(svg.viewBox().size(), kExportSize);
    EXPECT_TRUE(contents(path("a.svg")).contains("width=\"185.208mm\""))
        << "700 pixels of 1/96 inch";
    memory.export_to(path("a.pdf"), kExportSize, 2, Theme::light());
    const QByteArray pdf = contents(path("a.pdf"));
    EXPECT_TRUE(pdf.startsWith("%PDF-"));
    EXPECT_TRUE(pdf.contains("/MediaBox [0 0 700"));
    EXPECT_TRUE(pdf.contains("/CreationDate (D:19700101000000Z)"));
}

// Share of pixels that are darker than the fill in the part of the first bar beyond the capacity.
double dark_share(const QImage& image, const QRectF& area) {
    int dark = 0, all = 0;
    for (int y = static_cast<int>(area.top()); y < area.bottom(); ++y)
        for (int x = static_cast<int>(area.left()); x < area.right(); ++x, ++all)
            dark += qGray(image.pixel(x, y)) < 140;
    return static_cast<double>(dark) / all;
}

TEST_F(ChartExport, SvgRedrawnByQtResemblesThePngWithItsHatching) {
    memory.export_to(path("a.svg"), kExportSize, 1, Theme::light());
    const QImage png = memory.image(kExportSize, 1, Theme::light());
    QImage svg(kExportSize, QImage::Format_RGB32);
    svg.fill(Qt::white);
    QPainter painter(&svg);
    QSvgRenderer(path("a.svg")).render(&painter);
    painter.end();

    test::show(memory, kExportSize);
    const QRectF bar = memory.bar_rect(0);
    const double limit = memory.x_of(gib(memory.bars().capacity));
    const QRectF beyond(limit + 4, bar.top() + 2, bar.right() - limit - 26, bar.height() - 4);
    ASSERT_GT(beyond.width(), 30);
    // Lines of one pixel every six, slanted, on an orange of grey value 170.
    for (const QImage& image : {png, svg}) {
        EXPECT_GT(dark_share(image, beyond), 0.05);
        EXPECT_LT(dark_share(image, beyond), 0.6);
        EXPECT_EQ(dark_share(image, beyond.translated(-100, 0)), 0) << "plain below the capacity";
    }
    int different = 0;
    for (int y = 0; y < png.height(); ++y)
        for (int x = 0; x < png.width(); ++x)
            different += std::abs(qGray(png.pixel(x, y)) - qGray(svg.pixel(x, y))) > 64;
    // Edges may fall half a pixel elsewhere; nothing may be missing.
    EXPECT_LT(different, png.width() * png.height() / 45);
}

TEST_F(ChartExport, WhatCannotBeWrittenIsAnError) {
    const auto rule = [&](const QString& name) -> std::string {
        try {
            memory.export_to(name, kExportSize, 1, Theme::light());
        } catch (const Error& error) {
            EXPECT_EQ(error.exit_code(), 2);
            EXPECT_NE(std::string(error.what()).find(name.toStdString()), std::string::npos);
            return error.rule;
        }
        return "no error";
    };
    EXPECT_EQ(rule(path("no/such/folder/a.png")), "output");
    EXPECT_EQ(rule(path("no/such/folder/a.svg")), "output");
    EXPECT_EQ(rule(path("no/such/folder/a.pdf")), "output");
    EXPECT_EQ(rule(path("a.bmp")), "format");
    EXPECT_EQ(rule(path("a")), "format");
    EXPECT_TRUE(QDir(folder.path()).isEmpty()) << "nothing half-written stays";
}

TEST_F(ChartExport, NothingToShowIsAFileToo) {
    MemoryChart empty;
    empty.export_to(path("empty.png"), kExportSize, 1, Theme::light());
    EXPECT_EQ(QImage(path("empty.png")).size(), kExportSize);
}

TEST_F(ChartExport, ReportHasPagesAndRepeats) {
    QStandardItemModel table(60, 14);  // more rows and columns than a page has room for
    for (int row = 0; row < table.rowCount(); ++row)
        for (int column = 0; column < table.columnCount(); ++column)
            table.setItem(row, column,
                          new QStandardItem(QString("%1 and %2").arg(row).arg(column)));
    const ReportContents report{&comparison(), &table, {&memory, &time}};
    write_report_pdf(path("one.pdf"), report);
    QThread::msleep(1100);
    write_report_pdf(path("two.pdf"), report);
    const QByteArray pdf = contents(path("one.pdf"));
    EXPECT_TRUE(pdf == contents(path("two.pdf")));
    EXPECT_TRUE(pdf.startsWith("%PDF-"));
    EXPECT_GE(pdf.count("/Type /Page\n"), 3);
    EXPECT_TRUE(pdf.contains("/MediaBox [0 0 842.000000 595.000000]")) << "A4 landscape";
    try {
        write_report_pdf(path("no/such/folder/a.pdf"), report);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "output");
    }
}

TEST_F(ChartExport, ReportOfWhatCannotBeEvaluatedSaysWhy) {
    Evaluation evaluation;
    evaluation.error = Error("model", "there is no such model", "name another one");
    write_report_pdf(path("error.pdf"), {&evaluation, nullptr, {}});
    EXPECT_EQ(contents(path("error.pdf")).count("/Type /Page\n"), 1);
}

}  // namespace
}  // namespace shardscope::gui
