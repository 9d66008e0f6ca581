// What is wrong with a command line, as an Error of rule "usage" (exit code 2).
#pragma once

#include <string>
#include <utility>

#include "core/error.h"

namespace shardscope {

[[noreturn]] inline void usage_error(std::string message, std::string fix) {
    throw Error("usage", std::move(message), std::move(fix), ErrorKind::io);
}

}  // namespace shardscope
