// Pictures and tables without a window: what --export and --screenshot ask for.
#pragma once

#include <chrono>

#include "gui/session/workspace.h"
#include "gui/views/options.h"

namespace shardscope::gui {

// A search of the usual strategies may have tens of thousands of candidates: pictures show what was found until then.
constexpr std::chrono::seconds kLongestSearch{20};

// Writes all files that the options name, of the workspace as it is opened; for the Pareto chart, the screenshot and
// the whole report the usual strategies are searched first, for at most kLongestSearch. Returns the exit code: 0, or 3 where no strategy could be
// simulated. Throws Error as the command line does.
int write_files(const Options& options, Workspace& workspace, const QPalette& platform);

}  // namespace shardscope::gui
