// What names this machine, and where on it a port is free.
#pragma once

#include <map>
#include <string>

namespace shardscope {

// Whether `name` is "localhost", this machine's name (`host`, with or without its domain) or one of
// its addresses. Asks no name service.
bool names_this_machine(const std::string& name, const std::string& host);

// A TCP port of the loopback address that nobody uses now. Throws Error "launch".
int free_port();

// GPUs that CUDA_VISIBLE_DEVICES leaves of those that the driver has made devices of in /dev. Without asking the
// driver, which might start threads.
int count_gpus(const std::map<std::string, std::string>& variables);

}  // namespace shardscope
