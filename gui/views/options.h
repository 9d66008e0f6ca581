// The command line of shardscope-gui.
#pragma once

#include <QSize>
#include <QString>
#include <QStringList>
#include <optional>

#include "gui/views/theme.h"

namespace shardscope::gui {

struct Options {
    QStringList files;     // a scenario, and reports, DeepSpeed or Hugging Face files
    QStringList exported;  // --export: files to write, without a window
    QString chart;         // --chart: of `exported`
    QString screenshot;    // --screenshot: of the whole window
    int select = 0;        // --select: the strategy, counted from 1; 0: the first
    std::optional<ThemeChoice> theme;
    QSize size;             // empty: as usual
    double scale = 1;       // pixels per unit
    QString perf, widgets;  // files that tests read
    bool done = false;      // --help or --version has been printed

    // No window is shown, and no display is needed.
    bool headless() const { return !exported.isEmpty() || !screenshot.isEmpty(); }
};

// Throws Error "usage" (exit code 2). Prints what --help and --version ask for.
Options parse_options(const QStringList& arguments);

// The words of --chart.
QStringList chart_names();

}  // namespace shardscope::gui
