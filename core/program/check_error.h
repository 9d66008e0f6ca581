// How checks of programs fail.
#pragma once

#include <string>

#include "core/error.h"

namespace shardscope {

[[noreturn]] inline void throw_program_error(const std::string& rule, const std::string& message) {
    throw Error(rule, message, "this is a defect of the lowering; please report the scenario",
                ErrorKind::run_failed);
}

}  // namespace shardscope
