// Lines of `shardscope run --events` as values (docs/report.md, "Events").
#pragma once

#include <QByteArray>
#include <optional>
#include <variant>

#include "gui/models/run_log.h"

namespace shardscope::gui {

// The last line: of the whole run.
struct RunEnded {
    int exit_code = 0;
    bool cancelled = false;
    QString report;  // file; empty: none was written
    std::optional<Error> error;
};
using RunEvent = std::variant<RunStarted, RunStep, RunOver, RunEnded>;

// Throws Error "run-events" (run_failed) for what is no event, quoting it.
RunEvent parse_run_event(const QByteArray& line);

}  // namespace shardscope::gui
