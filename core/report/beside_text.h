// The part of a report's text about what is offloaded.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// Of every strategy that offloads, the host's memory and NVMe of the rank that has most, and of its node
// beside what a node has. Empty where none does.
std::string beside_text(const Report& report);

}  // namespace shardscope
