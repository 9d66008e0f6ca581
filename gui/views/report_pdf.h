// The whole report as a PDF: title, scenario, table, charts, errors and notes, on pages of A4 landscape.
#pragma once

#include <QAbstractItemModel>
#include <QString>
#include <vector>

#include "gui/models/evaluation.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

struct ReportContents {
    const Evaluation* evaluation = nullptr;     // scenario, errors and notes
    const QAbstractItemModel* table = nullptr;  // its display texts; null: no table
    // In this order; a pair of charts whose rows are aligned shares a page, others have one each.
    std::vector<Chart*> charts;
};

// With the light theme. The same contents give the same bytes. Throws Error "output" (exit code 2) where the
// file cannot be written.
void write_report_pdf(const QString& path, const ReportContents& contents);

}  // namespace shardscope::gui
