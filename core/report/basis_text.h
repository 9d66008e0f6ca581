// What simulated figures rest on, for people: part of what report_text.h prints.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// A line per strategy with its verdict and step time, each with the error of comparable runs; which runs
// those are; what the constants are. Empty where no result has a Basis.
std::string basis_text(const Report& report);

// "71.30 ± 1.10 GiB"; without an error where nothing is comparable. Where less was measured than the peak is made of
// it is at least the error of other profiles' processes.
std::string memory_with_error(const Result& result);
// "12.3 s ± 5 %"
std::string time_with_error(const Result& result);

}  // namespace shardscope
