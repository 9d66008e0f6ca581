#include "gui/views/headless.h"

#include <QCoreApplication>
#include <QImage>

#include "core/error.h"
#include "gui/views/export.h"
#include "gui/views/main_window.h"

namespace shardscope::gui {
namespace {

constexpr QSize kChartSize(1000, 420);

bool any_simulated(const Evaluation& evaluation) {
    for (const StrategyReport& strategy : evaluation.report.strategies)
        if (strategy.simulated) return true;
    return false;
}

void write_one(const QString& path, const Options& options, Workspace& workspace,
               ChartSet& charts) {
    const QSize size = options.size.isEmpty() ? kChartSize : options.size;
    const QPalette platform;
    const Theme theme = Theme::of(options.theme.value_or(ThemeChoice::light), platform);
    const QString ending = path.section('.', -1).toLower();
    if (!options.chart.isEmpty())
        charts.named(options.chart)->export_to(path, size, options.scale, theme);
    else if (ending == "pdf")
        write_report(path, workspace, charts);
    else if (ending == "json")
        write_trace(path, workspace);
    else
        write_table(path, workspace);
}

void write_screenshot(const Options& options, Workspace& workspace, const QPalette& platform) {
    MainWindow window(workspace, nullptr, platform);
    window.set_theme(options.theme.value_or(ThemeChoice::light));
    if (!options.size.isEmpty()) window.resize(options.size);
    window.show();
    QCoreApplication::processEvents();
    if (!window.picture(options.scale).save(options.screenshot, "PNG"))
        throw Error("output", "cannot write " + options.screenshot.toStdString(),
                    "name another file", ErrorKind::io);
}

}  // namespace

int write_files(const Options& options, Workspace& workspace, const QPalette& platform) {
    Session& session = workspace.session();
    session.wait();
    const auto& evaluation = session.evaluation();
    if (evaluation->error) throw *evaluation->error;
    const int rows = static_cast<int>(evaluation->report.strategies.size());
    if (options.select > rows)
        throw Error("usage",
                    "--select " + std::to_string(options.select) + ": there are " +
                        std::to_string(rows) + " strategies",
                    "name one of them", ErrorKind::io);
    if (options.select > 0) session.select(options.select - 1);
    session.wait();
    const bool whole_report =
        options.chart.isEmpty() && options.exported.join(' ').contains(".pdf");
    if (!options.screenshot.isEmpty() || options.chart == "pareto" || whole_report) {
        workspace.start_search(SearchExtent::usual);
        workspace.search().wait(kLongestSearch);
    }
    if (!options.exported.isEmpty()) {
        ChartSet charts(workspace, nullptr);
        for (const QString& path : options.exported) write_one(path, options, workspace, charts);
    }
    if (!options.screenshot.isEmpty()) write_screenshot(options, workspace, platform);
    return any_simulated(*evaluation) ? 0 : 3;
}

}  // namespace shardscope::gui
