// Words and figures that charts have in common.
#pragma once

#include <QString>
#include <string>

#include "core/report/report.h"

namespace shardscope::gui {

// With a true minus sign, in the C locale: "−50.4"; `plus`: "+2.7".
QString decimal(double value, int decimals, bool plus = false);
// "+4.3 %", "−5.0 %" of a fraction; empty for NaN.
QString deviation_text(double error);

// A cell of a chart written as text; a dash for an empty one.
std::string cell_or_unknown(const QString& text);

// An error in one line: rule and message without the place in a file, which a row stands for itself.
QString short_message(const Error& error, const Scenario& scenario);

}  // namespace shardscope::gui
