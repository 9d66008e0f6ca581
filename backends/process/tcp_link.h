// The MessageLink over TCP: needs no launcher but the variables that say who is who.
//
// Every pair of members of a channel has a connection of its own, which the calling threads read and
// write themselves: channels do not hold each other up, and there is no thread in between. Beside them
// rank 0 has one control connection to everybody, for bad news.
#pragma once

#include <memory>

#include "backends/process/message_link.h"
#include "backends/process/tcp_meeting.h"

namespace shardscope {

// Waits for all processes; throws what net::meet throws.
std::unique_ptr<MessageLink> make_tcp_link(const net::MeetingPlace& place);

}  // namespace shardscope
