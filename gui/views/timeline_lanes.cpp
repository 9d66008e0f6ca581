#include "gui/views/timeline_lanes.h"

#include <cmath>

namespace shardscope::gui {
namespace {

constexpr double kComputeUnits = 2, kOtherUnits = 1;  // heights of rows, relative
constexpr double kLargestUnit = 19, kLeastUnit = 2;   // pixels
constexpr double kLaneGap = 6, kLeastGap = 2;         // pixels between ranks
constexpr double kSeparated = 4;       // pixels: bars as wide have an edge of their own
constexpr double kLeastHeight = 0.45;  // of a row, for a column in which anything runs
constexpr double kNamed = 46;          // pixels: on average, for names of kernels

double units_of(const TimelineLanes::Row& row, const Timeline& timeline) {
    return timeline.lanes()[row.lanes.front()].compute() ? kComputeUnits : kOtherUnits;
}

}  // namespace

TimelineLanes::TimelineLanes(QCPAxis* time, QCPAxis* value) : QCPAbstractPlottable(time, value) {
    setAntialiased(false);
}

void TimelineLanes::set_detail(std::shared_ptr<const StepDetail> detail,
                               std::shared_ptr<const TimelineText> text) {
    detail_ = std::move(detail);
    text_ = std::move(text);
}

QCPRange TimelineLanes::getKeyRange(bool& found, QCP::SignDomain) const {
    found = true;
    return {0, detail_ ? detail_->step_time.value : 1.0};
}

QCPRange TimelineLanes::getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const {
    found = true;
    return {0, 1};
}

TimeScale TimelineLanes::scale() const { return {range_, QRectF(keyAxis()->axisRect()->rect())}; }

std::vector<TimelineLanes::Row> TimelineLanes::all_rows() const {
    std::vector<Row> rows;
    const Timeline& timeline = *detail_->timeline;
    std::vector<bool> role_seen(detail_->plan->program.roles.size());
    bool shown = false;
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
        const TimelineLane& which = timeline.lanes()[lane];
        if (which.compute()) {
            // One rank of each role says it all until all are asked for.
            shown = expanded_ || !role_seen[which.role];
            role_seen[which.role] = true;
            if (shown) rows.push_back({which.rank, {lane}, rank_label(*detail_, which.rank), {}});
            continue;
        }
        if (!shown) continue;
        const bool first = timeline.lanes()[rows.back().lanes.front()].compute();
        const std::string_view stream = stream_name(which.stream);
        if (expanded_ || first)
            rows.push_back({which.rank, {}, expanded_ ? QString::fromUtf8(stream.data()) : "", {}});
        rows.back().lanes.push_back(lane);
    }
    return rows;
}

int TimelineLanes::wanted_height() const {
    if (!detail_ || !detail_->timeline) return 0;
    double height = 0;
    std::size_t rank = detail_->trace->ranks.size();
    for (const Row& row : all_rows()) {
        height +=
            units_of(row, *detail_->timeline) * kLargestUnit + (row.rank != rank ? kLaneGap : 0);
        rank = row.rank;
    }
    return static_cast<int>(height);
}

std::vector<TimelineLanes::Row> TimelineLanes::rows() const {
    if (!detail_ || !detail_->timeline) return {};
    std::vector<Row> rows = all_rows();
    const Timeline& timeline = *detail_->timeline;
    const QRectF rect = scale().rect;
    double units = 0, ranks = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        units += units_of(rows[i], timeline);
        if (i == 0 || rows[i].rank != rows[i - 1].rank) ++ranks;
    }
    double gap = kLaneGap;
    double unit = (rect.height() - ranks * gap) / units;
    if (unit < kLaneGap) unit = (rect.height() - ranks * (gap = kLeastGap)) / units;
    unit = std::clamp(unit, kLeastUnit, kLargestUnit);
    double y = rect.top(), current = y, all = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i == 0 || rows[i].rank != rows[i - 1].rank) y += gap / 2 + (i > 0 ? gap / 2 : 0);
        const double height = std::floor(units_of(rows[i], timeline) * unit);
        rows[i].rect =
            QRectF(rect.left(), std::floor(y), rect.width(), height - (height > 6 ? 1 : 0));
        if (rows[i].rank == current_) current = y + height;
        y += height;
        all = y - rect.top();
    }
    // More ranks than fit: scrolled so that the current one is near the middle.
    const double hidden = all - rect.height();
    const double scroll =
        hidden <= 0 ? 0 : std::clamp(current - rect.center().y(), 0.0, std::ceil(hidden));
    for (Row& row : rows) {
        row.rect.translate(0, -std::floor(scroll));
        if (row.rect.top() < rect.top() || row.rect.bottom() > rect.bottom() + 1) row.rect = {};
    }
    return rows;
}

QRectF TimelineLanes::bar(const Row& row, std::int64_t start, std::int64_t end) const {
    const TimeScale scale = this->scale();
    const double left = std::max(scale.x(start), row.rect.left());
    const double right = std::min(scale.x(end), row.rect.right());
    return {left, row.rect.top(), std::max(0.0, right - left), row.rect.height()};
}

void TimelineLanes::draw(QCPPainter* painter) {
    if (!detail_ || !detail_->timeline) return;
    painter->setRenderHint(QPainter::Antialiasing, false);
    std::size_t rank = detail_->trace->ranks.size();
    for (const Row& row : rows()) {
        if (row.rect.isEmpty()) continue;
        if (row.rank != rank) {
            painter->setPen(QPen(theme_.grid, 0));
            const double y = std::floor(row.rect.top()) - 2;
            painter->drawLine(QLineF(row.rect.left(), y, row.rect.right(), y));
            rank = row.rank;
        }
        draw_columns(*painter, row);
        draw_tasks(*painter, row);
        draw_spans(*painter, row);
    }
}

void TimelineLanes::fill_columns(const Row& row, std::vector<TimelineColumn>& columns) const {
    const Timeline& timeline = *detail_->timeline;
    timeline.columns(row.lanes.front(), range_.start, range_.end, columns);
    std::vector<TimelineColumn> more(row.lanes.size() > 1 ? columns.size() : 0);
    for (std::size_t i = 1; i < row.lanes.size(); ++i) {
        timeline.columns(row.lanes[i], range_.start, range_.end, more);
        for (std::size_t c = 0; c < columns.size(); ++c)
            if (more[c].busy > columns[c].busy) columns[c] = more[c];
    }
}

void TimelineLanes::draw_columns(QCPPainter& painter, const Row& row) const {
    const double fine = columns_per_pixel(painter);
    std::vector<TimelineColumn> columns(
        static_cast<std::size_t>(std::max(1.0, std::round(row.rect.width() * fine))));
    fill_columns(row, columns);
    const double width = row.rect.width() / static_cast<double>(columns.size());
    const double whole =
        static_cast<double>(range_.duration()) / static_cast<double>(columns.size());
    const auto height_of = [&](const TimelineColumn& column) {
        if (column.busy == 0) return 0.0;
        const double share = 2 * static_cast<double>(column.busy) / whole;
        if (share >= 1) return row.rect.height();
        return std::round(row.rect.height() * std::max(kLeastHeight, share) * fine) / fine;
    };
    // What is left of a column beside a full one is the bar's edge, not a bar of its own.
    std::vector<double> heights(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) heights[i] = height_of(columns[i]);
    const auto full = [&](std::size_t i) {
        return i < columns.size() && height_of(columns[i]) == row.rect.height();
    };
    for (std::size_t i = 0; i < columns.size(); ++i)
        if (!full(i) && (full(i + 1) || (i > 0 && full(i - 1)))) heights[i] = 0;
    for (std::size_t i = 0; i < columns.size();) {
        const double height = heights[i];
        std::size_t end = i + 1;
        while (end < columns.size() && heights[end] == height &&
               (height == 0 || columns[end].kind == columns[i].kind))
            ++end;
        if (height > 0)
            painter.fillRect(
                QRectF(row.rect.left() + static_cast<double>(i) * width, row.rect.bottom() - height,
                       static_cast<double>(end - i) * width, height),
                colour(span_kind_colour(columns[i].kind)));
        i = end;
    }
}

void TimelineLanes::draw_label(QCPPainter& painter, const QRectF& bar, const QString& text,
                               SpanKind kind) const {
    QFont font = mParentPlot->font();
    font.setPixelSize(std::min(12, static_cast<int>(bar.height()) - 1));
    if (font.pixelSize() < 8) return;
    const QFontMetricsF metrics(font);
    const double width = metrics.horizontalAdvance(text) + 4;
    if (width > bar.width() - 2) return;
    const QColor fill = colour(span_kind_colour(kind));
    const QRectF rect(bar.center().x() - width / 2, bar.top(), width, bar.height());
    // What lies under the text may have several colours.
    painter.fillRect(rect.adjusted(0, 1, 0, -1), fill);
    painter.setFont(font);
    painter.setPen(Theme::text_on(fill));
    painter.drawText(rect, Qt::AlignCenter | Qt::TextDontClip, text);
}

void TimelineLanes::draw_tasks(QCPPainter& painter, const Row& row) const {
    const std::vector<TimelineTask>& tasks = detail_->timeline->tasks(row.lanes.front());
    auto task = std::upper_bound(tasks.begin(), tasks.end(), range_.start,
                                 [](std::int64_t t, const TimelineTask& a) { return t < a.end; });
    const auto last =
        std::lower_bound(tasks.begin(), tasks.end(), range_.end,
                         [](const TimelineTask& a, std::int64_t t) { return a.start < t; });
    if (static_cast<double>(last - task) * kSeparated > row.rect.width()) return;
    const auto near = detail_->timeline->spans(row.lanes.front(), range_.start, range_.end);
    const bool names = static_cast<double>(near.size()) * kNamed <= row.rect.width();
    for (; task < last; ++task) {
        const QRectF bar = this->bar(row, task->start, task->end);
        if (bar.width() < kSeparated) continue;
        if (task->start > range_.start)
            painter.fillRect(QRectF(bar.left(), bar.top(), 1, bar.height()), theme_.panel);
        if (!names && task->kind != SpanKind::optimizer)
            draw_label(painter, bar, QString::number(task->micro_batch), task->kind);
    }
}

void TimelineLanes::draw_spans(QCPPainter& painter, const Row& row) const {
    const Timeline& timeline = *detail_->timeline;
    for (const std::size_t lane : row.lanes) {
        const auto near = timeline.spans(lane, range_.start, range_.end);
        if (near.size() == 0 || static_cast<double>(near.size()) * kSeparated > row.rect.width())
            continue;
        const bool names = static_cast<double>(near.size()) * kNamed <= row.rect.width();
        const auto& spans = detail_->trace->ranks[row.rank].spans;
        for (std::size_t i = near.first; i < near.last; ++i) {
            const Timeline::Item item = timeline.item(lane, i);
            if (item.kind == SpanKind::wait) continue;
            const QRectF bar = this->bar(row, item.start, item.end);
            if (bar.width() < kSeparated) continue;
            if (item.start > range_.start)
                painter.fillRect(QRectF(bar.left(), bar.top(), 1, bar.height()), theme_.panel);
            const Span& span = spans[item.span];
            const bool numbered = span.phase != Phase::optimizer;
            const QString number = numbered ? QString::number(span.micro_batch) : QString();
            if (names)
                draw_label(painter, bar,
                           (numbered ? number + ": " : QString()) + text_->span_name(lane, item),
                           item.kind);
            else if (!timeline.lanes()[lane].compute() && numbered)
                draw_label(painter, bar, number, item.kind);
        }
    }
}

}  // namespace shardscope::gui
