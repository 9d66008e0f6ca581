// The rows of the memory chart: what fills a device, by category, for every strategy or for the ranks of
// one strategy. Plain values without a toolkit's colours; every number is the Evaluation's.
#pragma once

#include <QString>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gui/models/evaluation.h"
#include "gui/models/measured.h"

namespace shardscope::gui {

struct MemoryRow {
    QString name;       // of the strategy, or "ranks 4–7"
    int strategy = -1;  // its row in the evaluation: what a click selects
    Status status = Status::fits;
    bool known = false;  // whether there are figures: not for invalid and failed strategies
    std::array<Bytes, kCategories> categories{};  // at the peak; they sum to it
    Bytes peak;
    QString which;    // whose peak it is: "rank 0", "ranks 0–3, the fullest of 16"
    QString message;  // invalid, failed: "world-size: tp 8 × pp 3 = 24 does not divide …"
    QString details;  // the same as the command line prints it, with its place and remedy
    std::optional<MeasuredMemory> measured;
};

struct MemoryBars {
    QString subject;  // empty: all strategies; else whose ranks these are
    Bytes capacity;   // of one device
    std::vector<MemoryRow> rows;
    QString error;  // what keeps every strategy from being evaluated, as the command line prints it
};

// One row per strategy, in the scenario's order. `measured`: by row; may be shorter than the list.
MemoryBars memory_by_strategy(const Evaluation& evaluation,
                              std::span<const std::optional<MeasuredMemory>> measured = {});

// One row per range of ranks that hold the same, as the command line groups them (rank_groups of
// core/report/report.h); ranks of a pipeline differ by stage. No rows for a strategy without figures,
// and for one that does not exist.
MemoryBars memory_by_rank(const Evaluation& evaluation, std::size_t strategy);

// The unit of a chart's axis and labels.
enum class MemoryShow : std::uint8_t {
    binary,   // GiB (MiB where nothing reaches 0.1 GiB)
    decimal,  // GB (MB)
    percent,  // of the device's memory
};

// "79.1" in one unit for all figures of a chart; "−" is the true minus sign.
class MemoryScale {
public:
    // `capacity` counts for percent only.
    MemoryScale(MemoryShow show, Bytes largest, Bytes capacity);
    const QString& unit() const { return unit_; }  // "GiB", "%"
    double value(Bytes bytes) const { return static_cast<double>(bytes.value) / per_unit_; }
    QString format(Bytes bytes, int decimals = 1) const;
    QString format_signed(Bytes bytes, int decimals = 1) const;  // "+2.7", "−50.4"

private:
    QString unit_;
    double per_unit_;
};
MemoryScale scale_of(const MemoryBars& bars, MemoryShow show);

// At the end of a bar: "60.2 · 76 %", "81.9 OOM +2.7", and with a measurement "◆ 78.3 (+4.3 %)" behind it.
QString end_label(const MemoryRow& row, Bytes capacity, const MemoryScale& scale);
QString measured_label(const MemoryRow& row,
                       const MemoryScale& scale);  // empty: nothing was measured

// Beside the line: "usable 79.15 GiB"; for percent "usable, 100 % = 79.15 GiB".
QString capacity_text(Bytes capacity, MemoryShow show);

// All categories with two decimals and exact bytes, their sum, the capacity, the measurement; one fact per
// line, its parts separated by tabs. Of a row without figures its details.
QString tooltip(const MemoryRow& row, Bytes capacity, MemoryShow show);

// An aligned table of the rows: for tests and screen readers.
std::string to_text(const MemoryBars& bars, MemoryShow show = MemoryShow::binary);

QString category_title(Category category);  // "Optimizer states"

}  // namespace shardscope::gui
