// What the worker found out for one state of the document: the one source of every number on the screen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/report/report.h"
#include "gui/models/memory_over_time.h"
#include "gui/models/timeline.h"

namespace shardscope::gui {

// All strategies of one state of the scenario. Immutable once published, shared between threads.
struct Evaluation {
    std::uint64_t revision = 0;  // Document::revision() that was evaluated
    // The scenario, and one entry per strategy in its order, as `shardscope simulate` makes them.
    Report report;
    std::shared_ptr<const Model> model;  // null with an error
    // Concerns every strategy (a model that cannot be built, a machine that was not measured); then the
    // report has no strategies.
    std::optional<Error> error;
    Seconds took;  // wall-clock time of the last evaluation in which something was simulated
};

// The report of a row of the document's strategies; null while there is none. Rows that moved are found
// by their name.
const StrategyReport* report_of_row(const Evaluation* evaluation,
                                    const std::vector<Strategy>& strategies, int row);

// One step of one strategy in full: for the timeline. Immutable once published.
struct StepDetail {
    std::uint64_t revision = 0;
    std::size_t strategy = 0;  // row
    std::shared_ptr<const Plan> plan;
    std::shared_ptr<const Trace> trace;  // with spans, one rank per role
    Seconds step_time;                   // Result's: what the table shows
    Bytes capacity;                      // of one device
    std::int64_t events = 0;             // instructions of the step (step_events)
    // Null and empty where the step has too many events to hold (step_detail.h).
    std::shared_ptr<const Timeline> timeline;
    std::vector<MemoryOverTime> memory;  // per rank of the trace
};

}  // namespace shardscope::gui
