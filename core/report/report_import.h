// Reports back in: what report_to_json (report_io.h) wrote.
#pragma once

#include <cstdint>
#include <string>

#include "core/report/report.h"

namespace shardscope {

// Reads every field of a report; report_to_json of the result gives the same bytes. `path` is only used
// in messages.
//
// What JSON does not hold stays empty: RankTrace::steps and spans, Result::notes (the context has them
// all), Scenario::file. Data paths stay as they were written, relative to a folder that the report does
// not name.
//
// Throws Error (invalid_input) with file:line:column: "json" (syntax), "schema-version" (another one than
// kReportSchemaVersion), "unknown-key", "missing-key", "type", "range", "report" (fields that contradict
// each other), and what parse_scenario throws of the `scenario` member.
Report report_from_json(const std::string& text, const std::string& path);

// The same of a file, of at most kReportMaxBytes; Error "file" (io) where it cannot be read.
constexpr std::int64_t kReportMaxBytes = 64 * 1024 * 1024;
Report load_report(const std::string& path);

}  // namespace shardscope
