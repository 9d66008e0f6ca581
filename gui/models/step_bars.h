// The rows of the step-time chart: where the slowest rank's step goes, for every strategy. Rows are those of
// memory_by_strategy, in the same order. Every number is the Evaluation's.
#pragma once

#include <QString>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gui/models/evaluation.h"
#include "gui/models/measured.h"
#include "gui/models/palette.h"

namespace shardscope::gui {

struct StepRow {
    QString name;
    int strategy = -1;  // its row in the evaluation: what a click selects
    Status status = Status::fits;
    bool known = false;                       // whether there are figures
    std::array<Seconds, kStepParts> parts{};  // in the order of StepPart; they sum to step_time
    Seconds step_time;
    double mfu = 0;  // fraction; 0: the device's peak is not known
    double tokens_per_s_per_gpu = 0;
    QString message, details;  // as MemoryRow's
    std::optional<MeasuredTime> measured;
};

struct StepBars {
    std::vector<StepRow> rows;
    bool samples = false;  // throughput counts samples: the model has no sequence
    QString error;         // as MemoryBars'
};

StepBars step_bars(const Evaluation& evaluation,
                   std::span<const std::optional<MeasuredTime>> measured = {});

// One unit for all times of a chart, by the longest: s, ms, µs.
class StepScale {
public:
    explicit StepScale(Seconds longest);
    const QString& unit() const { return unit_; }
    double value(Seconds time) const { return time.value / per_unit_; }
    QString format(Seconds time) const;        // "5.47": three digits of the longest
    QString format_exact(Seconds time) const;  // "5.4673": two more, for tooltips

private:
    QString unit_;
    double per_unit_;
    int decimals_;
};
StepScale scale_of(const StepBars& bars);

QString end_label(const StepRow& row, const StepScale& scale);  // "5.47 s · 79 %": time and MFU
QString measured_label(const StepRow& row, const StepScale& scale);
QString tooltip(const StepRow& row, const StepScale& scale, bool samples);
std::string to_text(const StepBars& bars);

QString step_part_title(StepPart part);  // "Exposed communication"

}  // namespace shardscope::gui
