// Figures as the window writes them. Numbers that can be negative have a true minus sign.
#pragma once

#include <QString>

#include "core/report/report.h"

namespace shardscope::gui {

// The sign of negative numbers instead of the hyphen.
QString with_minus(QString text);

QString gib_text(Bytes bytes, int decimals = 1);          // "81.7"
QString signed_gib_text(Bytes bytes, int decimals = 1);   // "+50.4", "−2.6"
QString bytes_text(Bytes bytes);                          // "87,724,146,688 bytes"
QString exact_memory_text(Bytes bytes);                   // "81.70 GiB (87,724,146,688 bytes)"
QString percent_text(double fraction, int decimals = 1);  // "52.5 %"
QString signed_percent_text(double fraction);             // "+4.3 %", "−5.0 %"

QString category_text(Category category);  // "optimizer states"
// Of MemoryUse's parts the largest.
Category largest_category(const MemoryUse& memory);

// "✓ fits", "! OOM +2.7 GiB", "✕ world-size", "✕ failed: RULE"; empty while nothing is known.
QString short_verdict(const StrategyReport& report);
// The whole: "fits, 50.4 GiB free", "OOM, 2.7 GiB over; largest: parameters", or the error with its fix.
QString long_verdict(const StrategyReport& report);
// The error as the command line prints it: "rule: message; fix".
QString error_text(const Error& error);

}  // namespace shardscope::gui
