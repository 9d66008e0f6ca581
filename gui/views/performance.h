// How quickly the window answers: for --perf, and for tests of it.
#pragma once

#include <QElapsedTimer>
#include <QJsonObject>
#include <QObject>
#include <QTimer>
#include <cstdint>
#include <deque>
#include <vector>

namespace shardscope::gui {

// Times from an edit to the frame that shows its numbers, and gaps of the event loop: how late a timer
// of a millisecond comes.
class Performance : public QObject {
    Q_OBJECT

public:
    explicit Performance(QObject* parent);

    void started(double milliseconds);  // from the program's start to the first frame
    // The document has become this revision.
    void edited(std::uint64_t revision);
    // A frame of figures of that revision: it answers all edits up to it.
    void painted(std::uint64_t revision);
    void cancel_asked();  // of a search
    void search_ended();
    // Measures the event loop from now on.
    void watch_event_loop();
    void forget_gaps();  // that were measured so far

    // {first_paint_ms, edits: {count, median_ms, p95_ms, max_ms}, event_loop: {max_gap_ms},
    // cancel_ms: from asking to the end, −1: never asked}
    QJsonObject json() const;

private:
    struct Edit {
        std::uint64_t revision = 0;
        QElapsedTimer since;
    };

    QElapsedTimer since_tick_, since_cancel_;
    QTimer tick_;
    std::deque<Edit> open_;      // not yet answered, oldest first
    std::vector<double> edits_;  // ms
    double first_paint_ = -1, largest_gap_ = 0, cancel_ = -1;
};

}  // namespace shardscope::gui
