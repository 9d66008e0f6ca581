#include "gui/models/verdict_text.h"

#include <algorithm>

#include "gui/models/memory_bars.h"

namespace shardscope::gui {
namespace {

// In a unit of its own: a miss by little is not 0.0 GiB.
QString amount(Bytes bytes) {
    const MemoryScale scale(MemoryShow::binary, bytes, Bytes{});
    return scale.format(bytes) + " " + scale.unit();
}

}  // namespace

Category largest_category(const MemoryUse& memory) {
    const auto& all = memory.categories;
    return static_cast<Category>(std::max_element(all.begin(), all.end()) - all.begin());
}

QString short_verdict(const StrategyReport& report) {
    if (report.error) {
        const QString rule = QString::fromStdString(report.error->rule);
        return report.status == Status::failed ? "✕ failed: " + rule : "✕ " + rule;
    }
    if (report.status == Status::fits) return "✓ fits";
    if (!report.simulated) return "! OOM";
    const Result& result = *report.simulated;
    if (result.peak_memory().peak <= result.capacity)
        return "! OOM in " + QString::fromUtf8(tier_name(report.exceeded.front()).data());
    return "! OOM +" + amount(result.peak_memory().peak - result.capacity);
}

QString long_verdict(const StrategyReport& report) {
    if (report.error) return "✕ " + QString::fromUtf8(report.error->what());
    if (!report.simulated) return short_verdict(report);
    const Result& result = *report.simulated;
    const MemoryUse& memory = result.peak_memory();
    if (report.status == Status::fits) {
        const MemoryScale scale(MemoryShow::binary, result.capacity, Bytes{});
        return QString("✓ fits, %1 of %2 %3 are free")
            .arg(scale.format(result.capacity - memory.peak), scale.format(result.capacity),
                 scale.unit());
    }
    if (memory.peak <= result.capacity) return short_verdict(report) + " memory of a node";
    return QString("! OOM, %1 over; largest: %2")
        .arg(amount(memory.peak - result.capacity),
             category_title(largest_category(memory)).toLower());
}

}  // namespace shardscope::gui
