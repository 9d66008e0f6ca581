#include "core/program/event_origins.h"

namespace shardscope {

std::vector<EventOrigin> event_origins(const RoleProgram& role) {
    std::vector<EventOrigin> origins(static_cast<std::size_t>(role.events));
    for (std::size_t b = 0; b < role.bodies.size(); ++b) {
        const std::vector<Instruction>& instructions = role.bodies[b].instructions;
        for (std::size_t i = 0; i < instructions.size(); ++i)
            if (const auto* record = std::get_if<RecordEvent>(&instructions[i].operation))
                origins[record->event.index()] = {BodyId(b), static_cast<std::int32_t>(i),
                                                  instructions[i].stream};
    }
    return origins;
}

}  // namespace shardscope
