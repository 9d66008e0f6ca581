// This machine as the operating system describes it.
#pragma once

#include <string>

#include "core/units.h"

namespace shardscope {

struct Machine {
    std::string host;       // "unknown" if the system does not say
    std::string processor;  // "Intel(R) Xeon(R) …"
    int cores = 1;          // that this process may use: affinity and container limits applied
    Bytes memory;           // that this process may use; 0: unknown
};

Machine describe_machine();

}  // namespace shardscope
