#include "gui/views/performance.h"

#include <algorithm>

namespace shardscope::gui {
namespace {

constexpr int kTick = 1;  // ms

double milliseconds(const QElapsedTimer& timer) {
    return static_cast<double>(timer.nsecsElapsed()) / 1e6;
}

double quantile(std::vector<double> values, double fraction) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const auto last = static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(last * fraction + 0.5)];
}

}  // namespace

Performance::Performance(QObject* parent) : QObject(parent) {
    tick_.setTimerType(Qt::PreciseTimer);
    connect(&tick_, &QTimer::timeout, this, [this] {
        largest_gap_ = std::max(largest_gap_, milliseconds(since_tick_) - kTick);
        since_tick_.restart();
    });
}

void Performance::started(double ms) {
    if (first_paint_ < 0) first_paint_ = ms;
}

void Performance::edited(std::uint64_t revision) {
    open_.push_back({revision, {}});
    open_.back().since.start();
}

void Performance::painted(std::uint64_t revision) {
    for (; !open_.empty() && open_.front().revision <= revision; open_.pop_front())
        edits_.push_back(milliseconds(open_.front().since));
}

void Performance::cancel_asked() { since_cancel_.start(); }

void Performance::search_ended() {
    if (since_cancel_.isValid()) cancel_ = milliseconds(since_cancel_);
    since_cancel_.invalidate();
}

void Performance::forget_gaps() { largest_gap_ = 0; }

void Performance::watch_event_loop() {
    since_tick_.start();
    tick_.start(kTick);
}

QJsonObject Performance::json() const {
    const double most = edits_.empty() ? 0 : *std::max_element(edits_.begin(), edits_.end());
    return {{"first_paint_ms", first_paint_},
            {"edits", QJsonObject{{"count", static_cast<qint64>(edits_.size())},
                                  {"median_ms", quantile(edits_, 0.5)},
                                  {"p95_ms", quantile(edits_, 0.95)},
                                  {"max_ms", most}}},
            {"event_loop", QJsonObject{{"max_gap_ms", largest_gap_}}},
            {"cancel_ms", cancel_}};
}

}  // namespace shardscope::gui
