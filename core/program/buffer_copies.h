// The places of the arena at which the buffers of a role are used, one by one.
#pragma once

#include <iterator>
#include <vector>

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {

using CopyId = Id<struct CopyTag>;  // BufferCopies

// A buffer has one copy; in a frame it has one per micro-batch, and several live at a time. A snapshot
// of role and plan: neither need outlive it.
class BufferCopies {
public:
    struct Copy {
        BufferId buffer;
        std::int32_t micro_batch = -1;  // −1: of all
        Bytes place;                    // from the arena's start
    };

    BufferCopies(const RoleProgram& role, const MemoryPlan& plan) {
        for (std::size_t b = 0; b < role.buffers.size(); ++b) {
            const BufferId buffer(b);
            first_.push_back(copies_.size());
            in_frame_.push_back(plan.frame[b] >= 0);
            if (!in_frame_[b]) {
                copies_.push_back({buffer, -1, plan.place(buffer, 0)});
                continue;
            }
            const Frame& frame = plan.frames[static_cast<std::size_t>(plan.frame[b])];
            for (std::int32_t m = 0; m < std::ssize(frame.base); ++m)
                copies_.push_back({buffer, m, plan.place(buffer, m)});
        }
    }

    std::size_t size() const { return copies_.size(); }
    const Copy& operator[](CopyId copy) const { return copies_[copy.index()]; }

    // What tasks of the micro-batch mean by the buffer.
    CopyId of(BufferId buffer, std::int32_t micro_batch) const {
        const std::size_t b = buffer.index();
        return CopyId(first_[b] + (in_frame_[b] ? static_cast<std::size_t>(micro_batch) : 0));
    }

private:
    std::vector<Copy> copies_;
    std::vector<std::size_t> first_;  // per buffer
    std::vector<bool> in_frame_;      // per buffer
};

}  // namespace shardscope
