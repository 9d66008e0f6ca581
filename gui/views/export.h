// What a workspace is written as, by the window's menus and by --export alike. All throw Error "output"
// (exit code 2) where the file cannot be written, and leave what was there.
#pragma once

#include "gui/session/workspace.h"

namespace shardscope::gui {

class ChartSet;

QString table_csv(Workspace& workspace);       // all figures, in full precision
QString table_markdown(Workspace& workspace);  // as shown

void write_table(const QString& path, Workspace& workspace);  // .csv or .md, by the name's ending
// The selected strategy's step for Perfetto. Throws "no-timeline" where it cannot be simulated.
void write_trace(const QString& path, Workspace& workspace);
void write_report(const QString& path, Workspace& workspace, ChartSet& charts);  // .pdf

}  // namespace shardscope::gui
