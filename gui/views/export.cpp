#include "gui/views/export.h"

#include <QSaveFile>

#include "core/report/chrome_trace.h"
#include "gui/views/chart_set.h"
#include "gui/views/report_pdf.h"

namespace shardscope::gui {
namespace {

void write_file(const QString& path, const QByteArray& content) {
    QSaveFile file(path);
    if (!file.open(QIODevice::WriteOnly) || file.write(content) != content.size() || !file.commit())
        throw Error("output", ("cannot write " + path + ": " + file.errorString()).toStdString(),
                    "name another file", ErrorKind::io);
}

}  // namespace

QString table_csv(Workspace& workspace) {
    return strategies_to_csv(workspace.document(), workspace.session().evaluation().get(),
                             workspace.measured_cells());
}

QString table_markdown(Workspace& workspace) { return table_to_markdown(workspace.table()); }

void write_table(const QString& path, Workspace& workspace) {
    const bool markdown = path.endsWith(".md", Qt::CaseInsensitive);
    write_file(path, (markdown ? table_markdown(workspace) : table_csv(workspace)).toUtf8());
}

void write_trace(const QString& path, Workspace& workspace) {
    const auto& detail = workspace.session().detail();
    if (!detail || !detail->trace)
        throw Error("no-timeline", "the selected strategy cannot be simulated",
                    "select another one", ErrorKind::io);
    const TracePart parts[] = {{"simulated", detail->trace.get()}};
    write_file(path, QByteArray::fromStdString(chrome_trace(*detail->plan, parts)));
}

void write_report(const QString& path, Workspace& workspace, ChartSet& charts) {
    write_report_pdf(path,
                     {workspace.session().evaluation().get(),
                      &workspace.table(),
                      {&charts.memory(), &charts.time(), &charts.search(), &charts.timeline()}});
}

}  // namespace shardscope::gui
