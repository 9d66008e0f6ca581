// Partition::pattern as a regular expression.
#pragma once

#include <regex>
#include <string>

namespace shardscope {

// ECMAScript without back-references, matched in polynomial time: "(.*.*)*x" would take years on a long name by trying
// one way after the other, as libstdc++ does unless it is told otherwise. Throws std::regex_error.
inline std::regex compiled_pattern(const std::string& pattern) {
    return std::regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
}

}  // namespace shardscope
