// Where the events of a role are recorded: one instruction of one body each.
#pragma once

#include <cstdint>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

struct EventOrigin {
    BodyId body;                   // invalid: nothing records the event, waits for it pass
    std::int32_t instruction = 0;  // index in the body
    Stream stream = Stream::compute;

    // Whether a wait at instruction `at` of that body is for the recording of the same task. Every
    // other wait is for the one of the latest execution of `body` among the tasks before its own.
    bool precedes(BodyId waiting, std::int32_t at) const {
        return body == waiting && instruction < at;
    }
};

// By event.
std::vector<EventOrigin> event_origins(const RoleProgram& role);

}  // namespace shardscope
