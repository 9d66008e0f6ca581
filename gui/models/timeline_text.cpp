#include "gui/models/timeline_text.h"

#include <algorithm>

#include "core/report/figures.h"
#include "gui/models/step_detail.h"

namespace shardscope::gui {
namespace {

QString from(std::string_view text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QString percent(double fraction) { return from(format_percent(fraction)) + " %"; }

QString count_of(std::int64_t count, const char* what) {
    return QString("%1 %2%3").arg(from(format_count(count)), what, count == 1 ? "" : "s");
}

QString in_words(QString name) { return name.replace('_', ' '); }

}  // namespace

QString duration_text(std::int64_t nanoseconds) {
    const auto value = static_cast<double>(nanoseconds);
    const auto with = [](double scaled, const char* unit) {
        const int decimals = scaled >= 100 ? 1 : scaled >= 10 ? 2 : 3;
        return QString("%1 %2").arg(scaled, 0, 'f', decimals).arg(unit);
    };
    if (nanoseconds < 1000) return QString("%1 ns").arg(nanoseconds);
    if (nanoseconds < 1'000'000) return with(value / 1e3, "µs");
    if (nanoseconds < 1'000'000'000) return with(value / 1e6, "ms");
    return with(value / 1e9, "s");
}

QString moment_text(std::int64_t nanoseconds) {
    const std::int64_t microseconds = (nanoseconds + 500) / 1000;
    return QString("%1.%2 ms")
        .arg(from(format_count(microseconds / 1000)))
        .arg(microseconds % 1000, 3, 10, QChar('0'));
}

QString memory_text(Bytes bytes) {
    const MemoryUnit unit(bytes);
    return QString("%1 %2 (%3 bytes)")
        .arg(from(unit.format(bytes)), unit.name(), from(format_count(bytes.value)));
}

QString rank_label(const StepDetail& detail, std::size_t rank) {
    const Plan& plan = *detail.plan;
    const RankTrace& trace = detail.trace->ranks[rank];
    const RoleProgram& role = plan.program.roles[plan.program.role_of(trace.rank)];
    QString label = plan.program.roles.size() > 1
                        ? QString("stage %1").arg(plan.program.role_of(trace.rank))
                        : from(role.name);
    if (plan.strategy.tp > 1) label += QString(" (TP%1)").arg(plan.strategy.tp);
    if (trace.multiplicity == 1 && role.ranks.size() > 1)
        label = QString("rank %1, ").arg(trace.rank.value) + label;
    return label;
}

QString step_title(const StepDetail& detail) {
    const Plan& plan = *detail.plan;
    const auto stages = std::ssize(plan.program.roles);
    QString title = from(plan.strategy.name) + " – ";
    if (stages > 1) {
        title += from(schedule_name(plan.strategy.schedule));
        if (plan.strategy.virtual_stages > 1)
            title += QString(" interleaved ×%1").arg(plan.strategy.virtual_stages);
        title += ", ";
    }
    return title + count_of(stages, "stage") + ", " +
           from(format_count(plan.layout.micro_batches)) +
           (plan.layout.micro_batches == 1 ? " micro-batch" : " micro-batches");
}

QString too_many_events(const StepDetail& detail) {
    return QString(
               "A step of this strategy has %1 instructions; the timeline holds %2. Fewer or "
               "larger "
               "micro-batches have fewer.")
        .arg(from(format_count(detail.events)), from(format_count(kMostEvents)));
}

TimelineText::TimelineText(std::shared_ptr<const StepDetail> detail) : detail_(std::move(detail)) {
    for (const RoleProgram& role : detail_->plan->program.roles)
        describers_.emplace_back(*detail_->plan, role);
}

QString TimelineText::span_name(std::size_t lane, const Timeline::Item& item) const {
    const TimelineLane& which = detail_->timeline->lanes()[lane];
    const Span& span = detail_->trace->ranks[which.rank].spans[item.span];
    return in_words(from(describers_[which.role].describe(span).name));
}

QString TimelineText::span(std::size_t lane, const Timeline::Item& item,
                           std::size_t neighbours) const {
    const TimelineLane& which = detail_->timeline->lanes()[lane];
    const Span& span = detail_->trace->ranks[which.rank].spans[item.span];
    const SpanDescription what = describers_[which.role].describe(span);
    QStringList lines;
    lines << in_words(from(what.name)) + " – " + from(span_kind_name(item.kind));
    lines << rank_label(*detail_, which.rank) + ", " + from(stream_name(which.stream)) + " stream";
    QStringList place;
    if (!what.layer.empty()) place << "layer " + from(what.layer);
    if (span.phase != Phase::optimizer) place << QString("micro-batch %1").arg(span.micro_batch);
    place << "phase " + from(phase_name(span.phase));
    lines << place.join(", ");
    lines << "start " + moment_text(item.start) + ", duration " +
                 duration_text(item.end - item.start);
    QStringList amounts;
    if (what.flops && what.flops->value > 0)
        amounts << QString("%1 GFLOP").arg(what.flops->value / 1e9, 0, 'f', 3);
    if (what.bytes) amounts << memory_text(*what.bytes);
    if (!amounts.isEmpty()) lines << amounts.join(", ");
    if (which.compute()) lines << task(lane, item.start);
    if (neighbours > 1)
        lines << QString("one of %1 spans in this pixel")
                     .arg(from(format_count(static_cast<std::int64_t>(neighbours))));
    lines.removeAll(QString());
    return lines.join('\n');
}

QString TimelineText::task(std::size_t lane, std::int64_t time) const {
    const auto& tasks = detail_->timeline->tasks(lane);
    const auto after =
        std::upper_bound(tasks.begin(), tasks.end(), time,
                         [](std::int64_t t, const TimelineTask& task) { return t < task.start; });
    if (after == tasks.begin()) return {};
    const TimelineTask& task = *(after - 1);
    if (time >= task.end) return {};
    const std::size_t role = detail_->timeline->lanes()[lane].role;
    QString text = "in " + from(detail_->plan->program.roles[role].bodies[task.body.index()].name);
    if (task.kind != SpanKind::optimizer)
        text += QString(" of micro-batch %1").arg(task.micro_batch);
    return text + ": " + moment_text(task.start) + " to " + moment_text(task.end) + " (" +
           duration_text(task.end - task.start) + ")";
}

QString TimelineText::idle(std::size_t lane, std::int64_t time) const {
    const Timeline& timeline = *detail_->timeline;
    const TimelineLane& which = timeline.lanes()[lane];
    const auto here = timeline.spans(lane, time, time + 1);
    std::int64_t begin = 0, end = timeline.end();
    const bool waits = here.size() > 0;  // only a wait is not drawn
    if (waits) {
        begin = timeline.item(lane, here.first).start;
        end = timeline.item(lane, here.first).end;
    } else {
        if (here.first > 0) begin = timeline.item(lane, here.first - 1).end;
        const auto rest = timeline.spans(lane, time, timeline.end());
        if (rest.size() > 0) end = timeline.item(lane, rest.first).start;
    }
    const QString what = waits             ? "waits for communication: exposed"
                         : which.compute() ? "idle: bubble"
                                           : "idle";
    return rank_label(*detail_, which.rank) + ", " + from(stream_name(which.stream)) + " stream\n" +
           what + ", " + moment_text(begin) + " to " + moment_text(end) + " (" +
           duration_text(end - begin) + ")";
}

QString TimelineText::memory(std::size_t rank, std::int64_t time) const {
    const MemoryOverTime& memory = detail_->memory[rank];
    if (memory.empty()) return {};
    const MemoryPoint point = memory[memory.at(time)];
    QStringList lines{rank_label(*detail_, rank) + ", memory at " + moment_text(time)};
    for (std::size_t c = 0; c < kCategories; ++c)
        lines << in_words(from(category_name(static_cast<Category>(c)))) + ": " +
                     memory_text(point.categories[c]);
    lines << "live in all: " + memory_text(point.total());
    const MemoryPlan& plan = detail_->plan->memory_of(detail_->trace->ranks[rank].rank);
    lines << "planned (arena and runtime): " + memory_text(plan.peak());
    lines << "usable: " + memory_text(detail_->capacity);
    return lines.join('\n');
}

QString TimelineText::summary() const {
    const Timeline& timeline = *detail_->timeline;
    QStringList lines{step_title(*detail_) + ", step time " + duration_text(timeline.end())};
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
        const TimelineLane& which = timeline.lanes()[lane];
        if (!which.compute()) continue;
        const RangeTotals totals = timeline.totals({&lane, 1}, 0, timeline.end());
        QStringList parts;
        for (std::size_t k = 0; k < kSpanKinds; ++k)
            if (totals.kinds[k].total > 0)
                parts << from(span_kind_name(static_cast<SpanKind>(k))) + " " +
                             percent(totals.share(static_cast<SpanKind>(k)));
        parts << "bubble " + percent(totals.idle_share());
        const MemoryOverTime& memory = detail_->memory[which.rank];
        if (!memory.empty()) {
            const MemoryPoint peak = memory[memory.peak()];
            parts << "memory peak " + memory_text(peak.total()) + " at " + moment_text(peak.time);
        }
        lines << rank_label(*detail_, which.rank) + ": " + parts.join(", ");
    }
    return lines.join('\n');
}

TotalsTable totals_table(const RangeTotals& compute, const RangeTotals& other) {
    TotalsTable table;
    const auto add = [&](const RangeTotals& totals, const char* title, const char* idle) {
        if (totals.lanes == 0) return;
        table.rows.push_back({{title, "total", "share", "spans", "mean", "longest"}, {}});
        for (std::size_t k = 0; k < kSpanKinds; ++k) {
            const auto kind = static_cast<SpanKind>(k);
            const RangeTotals::Kind& of = totals.kinds[k];
            if (of.count == 0) continue;
            table.rows.push_back(
                {{from(span_kind_name(kind)), duration_text(of.total), percent(totals.share(kind)),
                  from(format_count(of.count)), duration_text(static_cast<std::int64_t>(of.mean())),
                  duration_text(of.longest)},
                 kind});
        }
        table.rows.push_back(
            {{idle, duration_text(totals.idle), percent(totals.idle_share()), "", "", ""}, {}});
        table.rows.push_back(
            {{QString("%1 × %2").arg(duration_text(totals.duration),
                                     count_of(totals.lanes, "stream")),
              duration_text(totals.duration * totals.lanes), percent(1), "", "", ""},
             {}});
    };
    add(compute, "compute", "bubble");
    add(other, "communication", "idle");
    return table;
}

QString TotalsTable::text() const {
    std::array<qsizetype, kColumns> width{};
    for (const Row& row : rows)
        for (std::size_t c = 0; c < kColumns; ++c)
            width[c] = std::max(width[c], row.cells[c].size());
    QStringList lines;
    for (const Row& row : rows) {
        QString line = row.cells[0].leftJustified(width[0]);
        for (std::size_t c = 1; c < kColumns; ++c)
            line += "  " + row.cells[c].rightJustified(width[c]);
        while (line.endsWith(' ')) line.chop(1);
        lines << line;
    }
    return lines.join('\n');
}

}  // namespace shardscope::gui
