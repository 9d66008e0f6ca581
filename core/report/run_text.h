// What the whole run takes, for people: part of what report_text.h prints.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// Tables of RunEstimate and of its Goodput, with what was assumed; empty where no result has one.
std::string run_text(const Report& report);

}  // namespace shardscope
