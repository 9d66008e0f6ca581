#include "gui/views/widget_dump.h"

#include <QAbstractButton>
#include <QApplication>
#include <QComboBox>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QScreen>
#include <QSlider>
#include <QSpinBox>
#include <QToolButton>
#include <cstdio>
#include <numeric>

#include "gui/views/main_window.h"
#include "gui/views/message_bar.h"
#include "gui/views/performance.h"

namespace shardscope::gui {
namespace {

constexpr int kInterval = 100;  // ms

QString text_of(const QWidget& widget) {
    if (const auto* label = qobject_cast<const QLabel*>(&widget)) return label->text();
    if (const auto* edit = qobject_cast<const QLineEdit*>(&widget)) return edit->text();
    if (const auto* spin = qobject_cast<const QSpinBox*>(&widget)) return spin->text();
    if (const auto* combo = qobject_cast<const QComboBox*>(&widget)) return combo->currentText();
    if (const auto* button = qobject_cast<const QAbstractButton*>(&widget)) return button->text();
    if (const auto* slider = qobject_cast<const QSlider*>(&widget))
        return QString::number(slider->value());
    return {};
}

QJsonObject rectangle(QPoint corner, QSize size, double ratio) {
    return {{"x", corner.x() * ratio},
            {"y", corner.y() * ratio},
            {"w", size.width() * ratio},
            {"h", size.height() * ratio}};
}

// Toolbar buttons are found by the name of their action.
QString name_of(const QWidget& widget) {
    if (const auto* button = qobject_cast<const QToolButton*>(&widget))
        if (button->defaultAction() != nullptr && !button->defaultAction()->objectName().isEmpty())
            return "button_" + button->defaultAction()->objectName();
    return widget.objectName();
}

QJsonObject describe(const QWidget& widget) {
    QJsonObject object =
        rectangle(widget.mapToGlobal(QPoint(0, 0)), widget.size(), widget.devicePixelRatioF());
    object["name"] = name_of(widget);
    object["class"] = widget.metaObject()->className();
    object["visible"] = widget.isVisible();
    object["enabled"] = widget.isEnabled();
    object["focus"] = widget.hasFocus();
    object["focusable"] = (widget.focusPolicy() & Qt::TabFocus) != 0;
    object["accessible"] = widget.accessibleName();
    object["text"] = text_of(widget);
    return object;
}

QJsonArray rows_of(const QAbstractItemModel& model) {
    QJsonArray rows;
    for (int r = 0; r < model.rowCount(); ++r) {
        QJsonArray cells;
        for (int c = 0; c < model.columnCount(); ++c)
            cells.append(model.index(r, c).data().toString());
        rows.append(cells);
    }
    return rows;
}

QJsonObject rectangle_in(const QWidget& widget, const QRectF& rect) {
    return rectangle(widget.mapToGlobal(rect.toRect().topLeft()), rect.toRect().size(),
                     widget.devicePixelRatioF());
}

QJsonArray axes_of(const Chart& chart) {
    QJsonArray axes;
    for (const QCPAxisRect* rect : chart.axisRects()) {
        QJsonObject object = rectangle_in(chart, rect->rect());
        const QCPRange x = rect->axis(QCPAxis::atBottom)->range();
        const QCPRange y = rect->axis(QCPAxis::atLeft)->range();
        object["left"] = x.lower;
        object["right"] = x.upper;
        object["bottom"] = y.lower;
        object["top"] = y.upper;
        axes.append(object);
    }
    return axes;
}

QJsonArray bars_of(const RowChart& chart, std::size_t rows) {
    QJsonArray bars;
    for (std::size_t i = 0; i < rows; ++i)
        bars.append(rectangle_in(chart, chart.bar_rect(static_cast<int>(i))));
    return bars;
}

void add_timeline(const TimelineChart& chart, QJsonObject& object) {
    const auto range = chart.visible(), selected = chart.selection();
    object["start"] = static_cast<qint64>(range.start);
    object["end"] = static_cast<qint64>(range.end);
    object["lanes"] = rectangle_in(chart, chart.lanes_rect());
    object["totals"] = chart.totals_text();
    object["selected_ns"] = static_cast<qint64>(selected.end - selected.start);
    const auto& detail = chart.detail();
    if (!detail || !detail->timeline) return;
    object["events"] = static_cast<qint64>(detail->timeline->events());
    std::vector<std::size_t> lanes(detail->timeline->lanes().size());
    std::iota(lanes.begin(), lanes.end(), std::size_t{0});
    const RangeTotals totals = detail->timeline->totals(lanes, selected.start, selected.end);
    std::int64_t sum = totals.idle;
    for (const RangeTotals::Kind& kind : totals.kinds) sum += kind.total;
    object["totals_sum_ns"] = static_cast<qint64>(sum);
    object["lane_count"] = static_cast<qint64>(totals.lanes);
}

QJsonObject chart_of(Chart& chart) {
    QJsonObject object{{"axes", axes_of(chart)},
                       {"tooltip", chart.last_tooltip()},
                       {"text", chart.text()},
                       {"replot_ms", chart.replotTime()}};
    if (const auto* memory = qobject_cast<const MemoryChart*>(&chart))
        object["rows"] = bars_of(*memory, memory->bars().rows.size());
    if (const auto* time = qobject_cast<const StepChart*>(&chart))
        object["rows"] = bars_of(*time, time->bars().rows.size());
    if (const auto* timeline = qobject_cast<const TimelineChart*>(&chart))
        add_timeline(*timeline, object);
    return object;
}

QJsonArray frontier_of(const SearchMap& map) {
    QJsonArray points;
    for (const SearchPoint& point : map.frontier())
        points.append(
            QJsonObject{{"gib", gib(point.peak)}, {"tokens_per_s", point.tokens_per_s_per_gpu}});
    return points;
}

QJsonObject search_of(const SearchTask& task) {
    return {{"running", task.running()},
            {"cancelled", task.cancelled()},
            {"evaluated", static_cast<qint64>(task.evaluated())},
            {"candidates", static_cast<qint64>(task.candidates())},
            {"progress", task.progress()},
            {"points", static_cast<qint64>(task.map().points().size())},
            {"text", task.status_text()},
            {"frontier", frontier_of(task.map())},
            {"capacity_gib", gib(task.map().capacity())}};
}

}  // namespace

QJsonObject dump(MainWindow& window, Workspace& workspace) {
    QJsonArray widgets;
    for (const QWidget* widget : QApplication::allWidgets())
        if (!name_of(*widget).isEmpty() && widget->isVisible()) widgets.append(describe(*widget));
    QJsonObject charts;
    for (Chart* chart : window.charts().all())
        if (chart->isVisible()) charts[chart->objectName()] = chart_of(*chart);
    Session& session = workspace.session();
    const Document& document = workspace.document();
    return {{"widgets", widgets},
            {"charts", charts},
            {"title", window.windowTitle()},
            {"message", window.messages().text()},
            {"dark", window.theme().dark},
            {"selected", session.selected()},
            {"strategies", rows_of(workspace.table())},
            {"revision", static_cast<qint64>(document.revision())},
            {"up_to_date", session.up_to_date()},
            {"modified", document.modified()},
            {"undo", document.undo_name()},
            {"redo", document.redo_name()},
            {"search", search_of(workspace.search())},
            {"performance", window.performance().json()}};
}

WidgetDump::WidgetDump(QString path, MainWindow& window, Workspace& workspace)
    : path_(std::move(path)), window_(window), workspace_(workspace) {
    connect(&timer_, &QTimer::timeout, this, &WidgetDump::write);
    timer_.start(kInterval);
}

void WidgetDump::write() {
    const QString part = path_ + ".part";
    QFile file(part);
    if (!file.open(QIODevice::WriteOnly)) return;
    file.write(QJsonDocument(dump(window_, workspace_)).toJson(QJsonDocument::Compact));
    file.close();
    std::rename(qPrintable(part), qPrintable(path_));
}

}  // namespace shardscope::gui
