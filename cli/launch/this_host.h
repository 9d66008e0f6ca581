// What names this machine, and where on it a port is free.
#pragma once

#include <string>

namespace shardscope {

// Whether `name` is "localhost", this machine's name (`host`, with or without its domain) or one of
// its addresses. Asks no name service.
bool names_this_machine(const std::string& name, const std::string& host);

// A TCP port of the loopback address that nobody uses now. Throws Error "launch".
int free_port();

}  // namespace shardscope
