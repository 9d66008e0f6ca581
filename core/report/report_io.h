// Reports for programs to read: JSON and CSV (docs/report.md describes every field).
//
// Full precision, SI base units in the names (`_s`, `_bytes`), the C locale; values that are not
// numbers (nothing was timed) are null in JSON and empty in CSV. The same report gives the same bytes.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// {schema_version, context, scenario, strategies: […]}, indented, ending in a line break. An entry of
// memory.ranks that stands for several simulated ranks (beyond kExpandedRanks) has `multiplicity`.
std::string report_to_json(const Report& report);

// A header and one row per strategy and result ("simulated", "measured"); a strategy without any has
// one row with an empty `result`. Fields are quoted as RFC 4180 says; lines end in '\n'.
std::string report_to_csv(const Report& report);

}  // namespace shardscope
