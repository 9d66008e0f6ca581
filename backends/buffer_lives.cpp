#include "backends/buffer_lives.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace shardscope {
namespace {

class LifeTracker {
public:
    explicit LifeTracker(const RoleProgram& role) : role_(role), open_(role.buffers.size()) {}

    void access(BufferId buffer, Access access, std::int32_t task, std::int32_t instruction) {
        if (role_.buffers[buffer.index()].residence == Residence::persistent) return;
        std::optional<LifeEnd>& open = open_[buffer.index()];
        const bool first_in_task = !open || open->task != task;
        if (open && first_in_task && access == Access::write) ends_.push_back(*open);
        open = LifeEnd{task, instruction, buffer};
    }

    std::vector<LifeEnd> finish() {
        for (const auto& open : open_)
            if (open) ends_.push_back(*open);
        std::sort(ends_.begin(), ends_.end(), [](const LifeEnd& a, const LifeEnd& b) {
            return std::tie(a.task, a.instruction, a.buffer) <
                   std::tie(b.task, b.instruction, b.buffer);
        });
        return std::move(ends_);
    }

private:
    const RoleProgram& role_;
    std::vector<std::optional<LifeEnd>> open_;  // per buffer, the last access seen
    std::vector<LifeEnd> ends_;
};

}  // namespace

std::vector<LifeEnd> life_ends(const RoleProgram& role) {
    LifeTracker tracker(role);
    for (std::size_t t = 0; t < role.schedule.size(); ++t) {
        const Body& body = role.bodies[role.schedule[t].body.index()];
        for (std::size_t i = 0; i < body.instructions.size(); ++i)
            for_each_operand(body.instructions[i], [&](const Operand& operand, Access access) {
                if (operand.valid() && access != Access::none)
                    tracker.access(operand.buffer, access, static_cast<std::int32_t>(t),
                                   static_cast<std::int32_t>(i));
            });
    }
    return tracker.finish();
}

}  // namespace shardscope
