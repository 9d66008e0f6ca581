// A validation for programs to read: JSON and CSV (docs/validate.md describes every field).
#pragma once

#include <string>

#include "core/validation/validation.h"

namespace shardscope {

// {schema_version, context, file, rows, columns_not_read, skipped, time, memory, details}, indented, ending in a line
// break.
// Errors in percent; what is not known is null.
std::string validation_to_json(const Validation& validation);

// A header and one line per row of the file; errors in percent, what is not known empty.
std::string validation_to_csv(const Validation& validation);

}  // namespace shardscope
