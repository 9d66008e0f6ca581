// The timeline in words: labels, what the mouse is over, and totals as a table.
#pragma once

#include <QString>
#include <array>
#include <vector>

#include "core/report/span_description.h"
#include "gui/models/evaluation.h"

namespace shardscope::gui {

// "1.234 s", "56.78 ms", "9.012 µs", "345 ns": four digits at most after the point.
QString duration_text(std::int64_t nanoseconds);
// A moment of the step, to the microsecond: "1,234.567 ms".
QString moment_text(std::int64_t nanoseconds);
QString memory_text(Bytes bytes);  // "28.71 GiB (30,827,151,360 bytes)"

// "stage 0 (TP4)", "all ranks (TP8)"; with several ranks of a role, "rank 3, stage 0 (TP4)".
QString rank_label(const StepDetail& detail, std::size_t rank);
// "TP4 × PP4 – 1f1b, 4 stages, 32 micro-batches"
QString step_title(const StepDetail& detail);
// Why there is no timeline where there are too many events.
QString too_many_events(const StepDetail& detail);

// Words for one rank's spans are looked up again and again while the mouse moves.
class TimelineText {
public:
    explicit TimelineText(std::shared_ptr<const StepDetail> detail);

    // What a span is, in lines; `neighbours`: how many spans the same pixel stands for.
    QString span(std::size_t lane, const Timeline::Item& item, std::size_t neighbours) const;
    // The name alone: "linear".
    QString span_name(std::size_t lane, const Timeline::Item& item) const;
    // Nothing runs at that time: from when to when.
    QString idle(std::size_t lane, std::int64_t time) const;
    // The memory of a rank at a time, one line per category.
    QString memory(std::size_t rank, std::int64_t time) const;
    // The whole step, one line per rank: times by kind, and the peak.
    QString summary() const;

private:
    QString task(std::size_t lane, std::int64_t time) const;

    std::shared_ptr<const StepDetail> detail_;
    std::vector<SpanDescriber> describers_;  // by role
};

// Totals as rows of text: a heading, then one row per kind that occurs, then what is idle, then the sum.
struct TotalsTable {
    static constexpr std::size_t kColumns = 6;  // kind, total, share, spans, mean, longest
    struct Row {
        std::array<QString, kColumns> cells;
        std::optional<SpanKind> kind;  // none: idle, headings and sums
    };
    std::vector<Row> rows;
    QString text() const;  // columns aligned by spaces
};
// `compute`: of the compute lanes, whose idle time is the bubble; `other`: of all other lanes.
TotalsTable totals_table(const RangeTotals& compute, const RangeTotals& other);

}  // namespace shardscope::gui
