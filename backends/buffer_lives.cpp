#include "backends/buffer_lives.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace shardscope {
namespace {

class LifeTracker {
public:
    LifeTracker(const RoleProgram& role, const BufferCopies& copies)
        : role_(role), copies_(copies), open_(copies.size()) {}

    void access(CopyId copy, Access access, std::int32_t task, std::int32_t instruction) {
        const BufferCopies::Copy& c = copies_[copy];
        if (role_.buffers[c.buffer.index()].residence == Residence::persistent) return;
        std::optional<LifeEnd>& open = open_[copy.index()];
        const bool anew = open && open->task != task && access == Access::write;
        if (anew && c.micro_batch < 0) ends_.push_back(*open);
        open = LifeEnd{task, instruction, copy};
    }

    std::vector<LifeEnd> finish() {
        for (const auto& open : open_)
            if (open) ends_.push_back(*open);
        std::sort(ends_.begin(), ends_.end(), [](const LifeEnd& a, const LifeEnd& b) {
            return std::tie(a.task, a.instruction, a.copy) <
                   std::tie(b.task, b.instruction, b.copy);
        });
        return std::move(ends_);
    }

private:
    const RoleProgram& role_;
    const BufferCopies& copies_;
    std::vector<std::optional<LifeEnd>> open_;  // per copy, the last access seen
    std::vector<LifeEnd> ends_;
};

}  // namespace

std::vector<LifeEnd> life_ends(const RoleProgram& role, const BufferCopies& copies) {
    LifeTracker tracker(role, copies);
    for (std::size_t t = 0; t < role.schedule.size(); ++t) {
        const Task& task = role.schedule[t];
        const Body& body = role.bodies[task.body.index()];
        for (std::size_t i = 0; i < body.instructions.size(); ++i)
            for_each_operand(body.instructions[i], [&](const Operand& operand, Access access) {
                if (operand.valid() && access != Access::none)
                    tracker.access(copies.of(operand.buffer, task.micro_batch), access,
                                   static_cast<std::int32_t>(t), static_cast<std::int32_t>(i));
            });
    }
    return tracker.finish();
}

}  // namespace shardscope
