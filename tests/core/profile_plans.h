// Plans of tiny models in a profile, and what their programs do, for tests of profiles.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "core/program/memory_plan.h"
#include "tests/support/tiny.h"

namespace shardscope::test {

template <class Matches>
std::int64_t count_instructions(const RoleProgram& role, Matches matches) {
    std::int64_t found = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            found += matches(i) ? 1 : 0;
    return found;
}

inline auto collective(CollectiveKind kind, Stream stream) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        return c != nullptr && c->kind == kind && i.stream == stream;
    };
}

inline auto linear_in(Phase phase) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        return c != nullptr && i.phase == phase && std::holds_alternative<Linear>(c->kernel);
    };
}

inline Plan plan_of(const ModelSpec& model, int ranks, const Strategy& strategy) {
    Scenario scenario = tiny_scenario(model, ranks);
    scenario.training.micro_batch = 2;
    const std::string name = scenario.strategies[0].name;
    scenario.strategies[0] = strategy;
    scenario.strategies[0].name = name;
    return lower_tiny(scenario);
}

inline Bytes bytes_of(const Plan& plan, std::string_view what, std::size_t role = 0) {
    Bytes sum;
    for (const Buffer& buffer : plan.program.roles[role].buffers)
        if (buffer.name.starts_with(what)) sum += buffer.size();
    return sum;
}

inline Scenario half_precision(RuntimeProfile profile, int ranks) {
    Scenario scenario = tiny_scenario(tiny_models().back(), ranks);
    scenario.training.precision = DType::bf16;
    set_profile(scenario.strategies[0], profile);
    return scenario;
}

// Throws what is wrong with the plan's programs.
inline void check_plan(const Plan& plan) {
    std::vector<MemoryPlan> arenas;
    for (const RoleProgram& role : plan.program.roles)
        arenas.push_back(plan_memory(role, Bytes(0)));
    check_program(plan.program, arenas);
    check_progress(plan.program, Host::issues);
    if (plan.target.host_computes) check_progress(plan.program, Host::runs_compute);
}

}  // namespace shardscope::test
