#include "core/program/live_categories.h"

#include "core/program/live_profile.h"

namespace shardscope {
namespace {

// One sample wherever value(task, instruction) differs from the sample before.
template <class Value>
std::vector<MemorySample> samples(const RoleProgram& role, const LiveCategories& live,
                                  const Value& value) {
    std::vector<MemorySample> result;
    decltype(value(0, 0)) last{};
    for (std::size_t t = 0; t < role.schedule.size(); ++t) {
        const auto task = static_cast<std::int32_t>(t);
        const auto& instructions = role.bodies[role.schedule[t].body.index()].instructions;
        for (std::size_t i = 0; i < instructions.size(); ++i) {
            if (instructions[i].stream != Stream::compute) continue;
            const auto instruction = static_cast<std::int32_t>(i);
            const auto now = value(task, instruction);
            if (!result.empty() && now == last) continue;
            result.push_back({task, instruction, live.total(task, instruction)});
            last = now;
        }
    }
    return result;
}

}  // namespace

LiveCategories::LiveCategories(const RoleProgram& role) {
    const std::vector<Lifetime> lives = lifetimes(role);
    const FramePlan frames = plan_frames(role, lives);
    const LiveProfile profile(role, lives, frames);
    positions_.resize(profile.first_position(BodyId(role.bodies.size())));
    tasks_.resize(role.schedule.size());
    const auto add = [](std::vector<Sums>& to, std::size_t category, std::vector<Bytes> bytes) {
        for (std::size_t i = 0; i < to.size(); ++i) {
            to[i].categories[category] = bytes[i];
            to[i].total += bytes[i];
        }
    };
    for (std::size_t c = 0; c < kCategories; ++c) {
        const auto category = static_cast<Category>(c);
        add(positions_, c, profile.position_sums(category));
        add(tasks_, c, profile.task_sums(category));
    }
    for (const Task& task : role.schedule) bodies_.push_back(task.body.index());
    for (std::size_t b = 0; b < role.bodies.size(); ++b) {
        auto position = static_cast<std::uint32_t>(profile.first_position(BodyId(b)));
        auto& of_body = position_of_.emplace_back();
        for (const Instruction& instruction : role.bodies[b].instructions) {
            of_body.push_back(position);
            if (instruction.stream == Stream::compute) ++position;
        }
    }
}

const LiveCategories::Sums& LiveCategories::of_position(std::int32_t task,
                                                        std::int32_t instruction) const {
    const auto& of_body = position_of_[bodies_[static_cast<std::size_t>(task)]];
    return positions_[of_body[static_cast<std::size_t>(instruction)]];
}

CategoryBytes LiveCategories::at(std::int32_t task, std::int32_t instruction) const {
    CategoryBytes bytes = of_position(task, instruction).categories;
    for (std::size_t c = 0; c < kCategories; ++c) bytes[c] += of_task(task).categories[c];
    return bytes;
}

Bytes LiveCategories::total(std::int32_t task, std::int32_t instruction) const {
    return of_position(task, instruction).total + of_task(task).total;
}

std::vector<MemorySample> LiveCategories::timeline(const RoleProgram& role) const {
    return samples(role, *this, [&](std::int32_t task, std::int32_t i) { return at(task, i); });
}

std::vector<MemorySample> memory_timeline(const RoleProgram& role) {
    const LiveCategories live(role);
    return samples(role, live,
                   [&](std::int32_t task, std::int32_t i) { return live.total(task, i); });
}

}  // namespace shardscope
