// The check of what is ordered before what (core/program/check_arena.h), on every program that ships and
// on programs with faults put in: against a reference that compares every two accesses.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/buffer_copies.h"
#include "core/program/check.h"
#include "core/program/check_arena.h"
#include "core/scenario_io.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// One instruction of two steps of a role, and the bytes that it touches.
struct Event {
    struct Touch {
        std::int64_t begin = 0, end = 0;
        bool writes = false;
    };
    const Instruction* instruction = nullptr;
    std::vector<Touch> touches;
    std::vector<bool> before;  // per earlier event: it is over when this one starts
};

std::vector<Event> events_of(const RoleProgram& role, const MemoryPlan& plan) {
    const BufferCopies copies(role, plan);
    std::vector<Event> events;
    for (int step = 0; step < 2; ++step)
        for (const Task& task : role.schedule)
            for (const Instruction& i : role.bodies[task.body.index()].instructions) {
                Event& event = events.emplace_back();
                event.instruction = &i;
                for_each_operand(i, [&](const Operand& operand, Access access) {
                    const auto& copy = copies[copies.of(operand.buffer, task.micro_batch)];
                    const Bytes size = role.buffers[operand.buffer.index()].size();
                    event.touches.push_back(
                        {copy.place.value, copy.place.value + size.value, access != Access::read});
                });
            }
    return events;
}

// What stream order and events say, followed backwards from every event: no clocks, no shortcuts.
void find_order(std::vector<Event>& events) {
    const auto follows = [](Event& later, const std::vector<Event>& all, std::size_t earlier) {
        later.before[earlier] = true;
        for (std::size_t k = 0; k < earlier; ++k)
            if (all[earlier].before[k]) later.before[k] = true;
    };
    for (std::size_t e = 0; e < events.size(); ++e) {
        Event& event = events[e];
        event.before.assign(e, false);
        for (std::size_t k = e; k-- > 0;)
            if (events[k].instruction->stream == event.instruction->stream) {
                follows(event, events, k);
                break;
            }
        const auto* wait = std::get_if<WaitEvent>(&event.instruction->operation);
        for (std::size_t k = e; wait != nullptr && k-- > 0;) {
            const auto* record = std::get_if<RecordEvent>(&events[k].instruction->operation);
            if (record == nullptr || record->event != wait->event) continue;
            follows(event, events, k);
            break;
        }
    }
}

bool has_race(const RoleProgram& role, const MemoryPlan& plan) {
    std::vector<Event> events = events_of(role, plan);
    find_order(events);
    for (std::size_t b = 0; b < events.size(); ++b)
        for (std::size_t a = 0; a < b; ++a) {
            if (events[b].before[a]) continue;
            for (const Event::Touch& x : events[a].touches)
                for (const Event::Touch& y : events[b].touches)
                    if ((x.writes || y.writes) && x.begin < y.end && y.begin < x.end) return true;
        }
    return false;
}

// The rule that the check names; empty: it finds nothing.
std::string verdict(const RoleProgram& role, const MemoryPlan& plan) {
    try {
        check_arena(role, plan);
        return "";
    } catch (const Error& error) {
        return error.rule;
    }
}

struct OrderCase {
    const char* name;
    int ranks;
    int tp, pp, zero;
};

class HappensBefore : public ::testing::TestWithParam<OrderCase> {
protected:
    static Plan plan_of(const OrderCase& c) {
        Scenario scenario = test::tiny_scenario(test::tiny_gpt(), c.ranks);
        scenario.training.micro_batch = 6;
        Strategy& strategy = scenario.strategies.front();
        strategy.tp = c.tp;
        strategy.pp = c.pp;
        strategy.zero = c.zero;
        strategy.bucket = Bytes(20'000);
        scenario.training.global_batch = 6 * 2 * c.ranks / c.tp / c.pp;
        scenario.training.clip = 1.0;
        return test::lower_tiny(scenario);
    }
};

// Every wait, one at a time, is left out: where the reference then finds two accesses without order, the
// check does, and where the wait was not needed, it says nothing.
TEST_P(HappensBefore, FindsEveryMissingWaitThatMatters) {
    const Plan plan = plan_of(GetParam());
    int missed = 0, needed = 0, waits = 0;
    for (std::size_t r = 0; r < plan.program.roles.size(); ++r) {
        const RoleProgram& role = plan.program.roles[r];
        ASSERT_FALSE(has_race(role, plan.memory[r]));
        ASSERT_EQ(verdict(role, plan.memory[r]), "");
        for (std::size_t b = 0; b < role.bodies.size(); ++b)
            for (std::size_t i = 0; i < role.bodies[b].instructions.size(); ++i) {
                if (!std::holds_alternative<WaitEvent>(role.bodies[b].instructions[i].operation))
                    continue;
                RoleProgram faulty = role;
                auto& instructions = faulty.bodies[b].instructions;
                instructions.erase(instructions.begin() + static_cast<std::ptrdiff_t>(i));
                const bool race = has_race(faulty, plan.memory[r]);
                const std::string found = verdict(faulty, plan.memory[r]);
                EXPECT_EQ(found, race ? "program-race" : "")
                    << role.name << ", " << role.bodies[b].name << ", instruction " << i;
                ++waits;
                needed += race;
                missed += race && found.empty();
            }
    }
    EXPECT_EQ(missed, 0);
    EXPECT_GT(needed, 0) << "of " << waits << " waits";
}

// A buffer that is used at the same time as another is laid over it.
TEST_P(HappensBefore, FindsArenaReuseThatIsTooEarly) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const Plan plan = plan_of(GetParam());
    const RoleProgram& role = plan.program.roles.front();
    int found = 0, tried = 0;
    for (int round = 0; round < 40; ++round) {
        MemoryPlan faulty = plan.memory.front();
        const std::size_t a = random() % role.buffers.size(), b = random() % role.buffers.size();
        if (a == b || faulty.frame[a] >= 0 || faulty.frame[b] >= 0) continue;
        if (faulty.offset[b].value + role.buffers[a].size().value > faulty.arena.value) continue;
        faulty.offset[a] = faulty.offset[b];
        ++tried;
        const std::string said = verdict(role, faulty);
        found += !said.empty();
        // Some pairs are never in use together, which is what reuse is; a race is never passed over.
        if (has_race(role, faulty)) {
            EXPECT_NE(said, "") << role.buffers[a].name << " over " << role.buffers[b].name;
        }
    }
    EXPECT_GT(found, 0) << "of " << tried;
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, HappensBefore,
    ::testing::Values(OrderCase{"ddp", 2, 1, 1, 0}, OrderCase{"zero1", 2, 1, 1, 1},
                      OrderCase{"zero2", 2, 1, 1, 2}, OrderCase{"zero3", 2, 1, 1, 3},
                      OrderCase{"tensor", 2, 2, 1, 0}, OrderCase{"pipeline", 2, 1, 2, 0},
                      OrderCase{"hybrid", 8, 2, 2, 1}),
    [](const auto& tested) { return std::string(tested.param.name); });

std::vector<std::string> shipped_scenarios() {
    std::vector<std::string> files;
    const std::filesystem::path folder = SHARDSCOPE_SOURCE_DIR "/scenarios";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        const std::string below = std::filesystem::relative(entry.path(), folder).string();
        if (below.ends_with(".yaml") && !below.starts_with("clusters/") &&
            !below.starts_with("models/"))
            files.push_back(below);
    }
    std::ranges::sort(files);
    return files;
}

class ShippedProgramsSlow : public ::testing::TestWithParam<std::string> {};

// Every cross-stream use is ordered by an event, arena reuse included, all ranks make their collectives in
// one order, and nobody waits for ever.
TEST_P(ShippedProgramsSlow, PassEveryCheck) {
    const Scenario scenario =
        load_scenario(std::string(SHARDSCOPE_SOURCE_DIR "/scenarios/") + GetParam(), {});
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    int checked = 0;
    for (const Strategy& strategy : scenario.strategies) {
        SCOPED_TRACE(strategy.name);
        try {
            const Plan plan =
                lower(scenario, model, strategy, ExecutionTarget::of(scenario.cluster.device));
            // A product's allocator gives no offsets: its program is checked in an arena of ours.
            std::vector<MemoryPlan> arenas;
            for (std::size_t role = 0; role < plan.memory.size(); ++role)
                arenas.push_back(plan.memory[role].caching
                                     ? plan_memory(plan.program.roles[role], Bytes(0))
                                     : plan.memory[role]);
            check_program(plan.program, arenas);
            ++checked;
        } catch (const Error& error) {
            // Scenarios show strategies that cannot be; what is lowered must be right.
            EXPECT_EQ(error.kind, ErrorKind::invalid_input) << error.what();
        }
    }
    EXPECT_GT(checked, 0);
}

INSTANTIATE_TEST_SUITE_P(All, ShippedProgramsSlow, ::testing::ValuesIn(shipped_scenarios()),
                         [](const auto& tested) {
                             std::string name = tested.param;
                             for (char& c : name)
                                 if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                             return name;
                         });

}  // namespace
}  // namespace shardscope
