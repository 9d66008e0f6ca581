// Pictures and tables without a window: what --export and --screenshot ask for.
#pragma once

#include "gui/session/workspace.h"
#include "gui/views/options.h"

namespace shardscope::gui {

// Writes all files that the options name, of the workspace as it is opened; the Pareto chart's and the
// screenshot's search is run to its end first. Returns the exit code: 0, or 3 where no strategy could be
// simulated. Throws Error as the command line does.
int write_files(const Options& options, Workspace& workspace, const QPalette& platform);

}  // namespace shardscope::gui
