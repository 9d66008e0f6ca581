// Lines of CSV as RFC 4180 has them, in the C locale.
#pragma once

#include <string>
#include <vector>

namespace shardscope {

// As many digits as reading the same value back takes; empty for what is not finite.
std::string csv_number(double value);

// Ends in '\n'; fields are quoted where a separator, quote or line break would be misread.
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace shardscope
