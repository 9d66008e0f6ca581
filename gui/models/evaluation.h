// What the worker found out for one state of the document: the one source of every number on the screen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/report/report.h"

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
    Seconds took;  // wall-clock time of the evaluation
};

// What is in a rank's memory from `time` on: live bytes by category, `runtime` included.
struct MemoryPoint {
    Seconds time;
    std::array<Bytes, kCategories> categories{};
};

// One step of one strategy in full: for the timeline. Immutable once published.
struct StepDetail {
    std::uint64_t revision = 0;
    std::size_t strategy = 0;  // row
    std::shared_ptr<const Plan> plan;
    std::shared_ptr<const Trace> trace;            // with spans, one rank per role
    std::vector<std::vector<MemoryPoint>> memory;  // per rank of the trace, ascending in time
};

}  // namespace shardscope::gui
