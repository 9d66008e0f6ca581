// What a real run has told so far: `shardscope run --events` as values, and their series for live plots.
#pragma once

#include <QObject>
#include <QString>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/units.h"

namespace shardscope::gui {

// The events of docs/report.md, each a line of the child's standard output.
struct RunStarted {
    QString strategy, layout, backend;
    int ranks = 0;
    std::int64_t steps = 0;
    bool tokens = true;  // rates are tokens/s, else samples/s
};
struct RunStep {
    QString strategy;
    std::int64_t step = 0, steps = 0;
    double loss = 0;  // NaN where it is not finite
    double tokens_per_s = 0;
    Seconds elapsed;
    std::vector<Bytes> memory;  // by rank
};
enum class RunState : std::uint8_t { running, finished, failed, cancelled };
// What became of a strategy; one that could not run was never started.
struct RunOver {
    QString strategy;
    RunState state = RunState::finished;
    std::optional<Error> error;  // of a failed one
};

// One strategy of a run.
struct RunSeries {
    RunStarted start;
    std::vector<RunStep> steps;  // ascending
    RunState state = RunState::running;
    std::optional<Error> error;
};

// Lives in the window's thread; Qt Core only.
class RunLog : public QObject {
    Q_OBJECT

public:
    explicit RunLog(QObject* parent = nullptr) : QObject(parent) {}

    const std::vector<RunSeries>& series() const { return series_; }
    // The strategy that runs, or ran last; null before the first.
    const RunSeries* current() const { return series_.empty() ? nullptr : &series_.back(); }

    void clear();
    void add(const RunStarted& event);
    void add(const RunStep& event);
    void add(const RunOver& event);
    void end_all();  // the child is gone: what it has not told the end of was cut short

signals:
    void changed();

private:
    RunSeries* find(const QString& strategy);
    RunSeries& at(const QString& strategy);
    std::vector<RunSeries> series_;
};

}  // namespace shardscope::gui
