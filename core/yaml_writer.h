// JSON values as YAML that people like to read: one line where it fits, indented blocks elsewhere.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace shardscope {

// Ends with a line feed. parse_yaml reads it back to the same values; numbers are written with as
// many digits as that takes. `value` is a map or a list.
std::string json_to_yaml(const nlohmann::ordered_json& value);

}  // namespace shardscope
