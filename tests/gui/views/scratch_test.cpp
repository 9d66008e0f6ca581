#include <QDir>
#include <QThread>
#include <QStandardItemModel>
#include "gui/views/report_pdf.h"

#include <gtest/gtest.h>

#include "gui/views/memory_chart.h"
#include "gui/views/step_chart.h"
#include "tests/gui/evaluated.h"

namespace shardscope::gui {
TEST(Scratch, Pictures) {
    QDir().mkpath("/tmp/wtc");
    std::vector<std::optional<MeasuredMemory>> runs(8);
    runs[1] = MeasuredMemory{Bytes(static_cast<std::int64_t>(78.3 * kGiB)), 0.046, {}, false};
    runs[3] = MeasuredMemory{Bytes(static_cast<std::int64_t>(36.3 * kGiB)), 0.069, {}, true};
    std::vector<std::optional<MeasuredTime>> times(8);
    times[1] = MeasuredTime{Seconds(5.2), 0.036, {}, false};
    times[3] = MeasuredTime{Seconds(5.0), 0.036, {}, true};
    for (const bool measured : {false, true}) {
        MemoryChart memory;
        StepChart step;
        memory.resize(500, 320);
        step.resize(255, 320);
        memory.align_with(&step);
        const Evaluation& e = test::comparison();
        memory.set_bars(measured ? memory_by_strategy(e, runs) : memory_by_strategy(e));
        step.set_bars(measured ? step_bars(e, times) : step_bars(e));
        memory.set_selected(5);
        step.set_selected(5);
        for (const bool dark : {false, true}) {
            const Theme theme = dark ? Theme::dark_theme() : Theme::light();
            const QString end = QString(measured ? "-measured" : "") + (dark ? "-dark" : "");
            memory.image({500, 320}, 2, theme).save("/tmp/wtc/memory" + end + ".png");
            step.image({300, 320}, 2, theme).save("/tmp/wtc/time" + end + ".png");
            memory.image({260, 260}, 2, theme).save("/tmp/wtc/memory-narrow" + end + ".png");
            step.image({200, 260}, 2, theme).save("/tmp/wtc/time-narrow" + end + ".png");
        }
        QStandardItemModel table(8, 6);
        for (int r = 0; r < 8; ++r) for (int c = 0; c < 6; ++c) table.setItem(r, c, new QStandardItem(c ? QString::number(r * c * 1.5) : memory.bars().rows[r].name));
        table.setHorizontalHeaderLabels({"Strategy", "TP", "PP", "Peak GiB", "Step s", "MFU"});
        for (const char* n : {"/tmp/wtc/r1.pdf", "/tmp/wtc/r2.pdf"}) { write_report_pdf(n, {&e, &table, {&memory, &step}}); QThread::msleep(1100); }
        for (const char* n : {"/tmp/wtc/m.pdf", "/tmp/wtc/m.svg"}) memory.export_to(n, {600, 340}, 1, Theme::light());
        memory.set_theme(Theme::light());
        step.set_theme(Theme::light());
        memory.show();
        step.show();
        QCoreApplication::processEvents();
        memory.grab().save(QString("/tmp/wtc/screen-memory%1.png").arg(measured));
        step.grab().save(QString("/tmp/wtc/screen-time%1.png").arg(measured));
    }
}
}  // namespace shardscope::gui
