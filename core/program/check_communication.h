// Whether the roles of a program ask the same of each other.
#pragma once

#include "core/program/program.h"

namespace shardscope {

// Throws Error{run_failed}:
//   program-collective  roles that share sets of a group issue different collectives on one stream, or
//                       in another order
//   program-exchange    the n-th send of a channel (role_links.h) and its n-th receive differ in size
//                       or type, one of them is missing, or a peer is no member of the group
void check_communication(const Program& program);

}  // namespace shardscope
