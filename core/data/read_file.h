// Internal to core/data: files as bytes, and their errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace shardscope {

// The whole regular file at `path` in memory. Throws ErrorKind::io, rule "data-file", if it is
// missing, unreadable, a directory or device, or larger than memory.
std::vector<std::uint8_t> read_file(const std::string& path);

// Error of invalid_input with "path: " before the message.
Error data_error(std::string rule, const std::string& path, const std::string& message,
                 std::string fix);

}  // namespace shardscope
