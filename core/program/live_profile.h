// Internal to the planner: how many bytes of the device are live while each task of a schedule runs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/program/frames.h"

namespace shardscope {

class LiveProfile {
public:
    // Live at one position of one task, per category.
    struct Moment {
        std::size_t task = 0, position = 0;  // position: as in Interval
        Bytes live;                          // sizes, not rounded
        std::array<Bytes, kCategories> categories{};
        Phase phase = Phase::forward;
    };

    // `frames` are the device's.
    LiveProfile(const RoleProgram& role, const std::vector<Lifetime>& lives,
                const FramePlan& frames);

    // The first moment with the most live bytes.
    Moment peak() const;

    // Live bytes at a position of a task's body.
    Bytes live_at(std::size_t task, std::size_t position) const {
        return others_[task] + sums_[position];
    }
    // What live_at adds up, of one category or of all. Per position: persistent and transient buffers
    // and what the task's own frames hold by then; per task: frames of other micro-batches, or
    // untouched by its body.
    std::vector<Bytes> position_sums(std::optional<Category> only) const;
    std::vector<Bytes> task_sums(std::optional<Category> only) const;

    BodyId body_at(std::size_t position) const;
    // Positions of the body's compute-stream instructions: [first, first + count).
    std::size_t first_position(BodyId body) const { return first_[body.index()]; }
    std::size_t positions(BodyId body) const {
        return first_[body.index() + 1] - first_[body.index()];
    }

private:
    // Per frame: its micro-batches alive during a task, but for the task's own where its body uses the
    // frame.
    std::vector<std::int64_t> frames_alive_beside(std::size_t task) const;
    // Whether the buffer's frame is untouched by the body at `position`, and so counted as a whole.
    bool whole_frame(std::size_t buffer, std::size_t position) const;

    const RoleProgram& role_;
    const std::vector<Lifetime>& lives_;
    const FramePlan& frames_;
    std::vector<std::size_t> first_;  // per body, and one past the end
    std::vector<Phase> phases_;       // per position
    std::vector<Bytes> sums_;         // position_sums and task_sums of all categories
    std::vector<Bytes> others_;
};

}  // namespace shardscope
