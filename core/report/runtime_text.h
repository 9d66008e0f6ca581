// The part of a report's text about memory outside the plan.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// Of every strategy that ran on GPUs, the rank with the largest peak: what its process takes beside the
// arena, predicted and measured, and what the driver says of the process. Empty where none did.
std::string runtime_text(const Report& report);

}  // namespace shardscope
