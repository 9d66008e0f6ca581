// The link of a run of one process: there is nobody else.
#pragma once

#include <memory>
#include <string>

#include "backends/process/message_link.h"

namespace shardscope {

// `host`: this process's, for people.
std::unique_ptr<MessageLink> make_solo_link(std::string host);

}  // namespace shardscope
