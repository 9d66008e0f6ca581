// The same scenarios through every runner: what is predicted and what is measured have one type, and
// here they are held against each other. Times are compared in benchmarks only (bench/), since a test
// must not depend on how busy the machine is.
#include <memory>
#include <tuple>

#include <gtest/gtest.h>

#include "backends/cpu/cpu_runner.h"
#include "simulator/event_runner.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// A machine with round figures; only memory and structure are compared.
void describe_machine(Scenario& s) {
    Device& d = s.cluster.device;
    d.name = "test machine";
    d.peak = {{MathType::fp32, FlopsPerSecond(1e11)}, {MathType::fp64, FlopsPerSecond(5e10)}};
    d.memory_bandwidth = BytesPerSecond(1e10);
    d.host_cost = Seconds(1e-7);
    s.cluster.intra_node = {BytesPerSecond(1e10), Seconds(1e-6), 1.0, "test"};
    s.cluster.inter_node = s.cluster.intra_node;
}

std::unique_ptr<Runner> make_runner(int which) {
    if (which == 0) return std::make_unique<EventRunner>();
    return std::make_unique<CpuRunner>();
}

struct ParityShape {
    const char* name;
    int tp = 1, pp = 1, dp = 1;
    Schedule schedule = Schedule::one_f_one_b;
    int chunks = 1;
};
const ParityShape kShapes[] = {{"OneRank"},
                               {"Dp2", 1, 1, 2},
                               {"Dp4", 1, 1, 4},
                               {"Tp2Dp2", 2, 1, 2},
                               {"Pp2Dp2", 1, 2, 2},
                               {"Tp2Pp2", 2, 2, 1},
                               {"Pp3ZeroBubble", 1, 3, 1, Schedule::zero_bubble},
                               {"Pp2ZeroBubbleV", 1, 2, 1, Schedule::zero_bubble_v},
                               {"Pp2Interleaved", 1, 2, 1, Schedule::one_f_one_b, 2}};

using ParityCase = std::tuple<int, int, std::size_t>;  // runner, model, index into kShapes

std::string parity_case_name(const testing::TestParamInfo<ParityCase>& info) {
    const std::string runners[] = {"Simulator", "CpuThreads"}, models[] = {"Mlp", "Gpt", "Llama"};
    const auto [runner, model, shape] = info.param;
    return runners[runner] + models[model] + kShapes[shape].name;
}

Scenario parity_scenario(int model, const ParityShape& shape, int zero) {
    Scenario s = test::tiny_scenario(test::tiny_models()[static_cast<std::size_t>(model)],
                                     shape.tp * shape.pp * shape.dp);
    describe_machine(s);
    s.training.steps = 3;
    s.training.micro_batch = 24 / shape.dp / 2;
    s.training.clip = 1.0;
    Strategy& strategy = s.strategies[0];
    strategy.tp = shape.tp;
    strategy.pp = shape.pp;
    strategy.schedule = shape.schedule;
    strategy.virtual_stages = shape.chunks;
    strategy.sequence_parallel = shape.tp > 1 && model > 0;
    strategy.zero = zero;
    strategy.bucket = Bytes(4000);
    return s;
}

// Exact: memory is planned, and both runners account for the plan.
void expect_memory_of(const MemoryPlan& plan, const RankTrace& rank) {
    EXPECT_EQ(rank.memory.peak.value, plan.peak().value);
    for (std::size_t c = 0; c < kCategories; ++c)
        EXPECT_EQ(rank.memory.categories[c].value, plan.categories[c].value)
            << category_name(static_cast<Category>(c));
    EXPECT_EQ(rank.memory.peak_phase, plan.peak_phase);
}

// 1e-9 s: the parts are sums of doubles.
void expect_parts_sum_to_the_step(const RankTrace& rank) {
    ASSERT_FALSE(rank.steps.empty());
    for (const StepTime& t : rank.steps)
        EXPECT_NEAR((t.compute + t.exposed_communication + t.bubble + t.optimizer).value,
                    t.wall.value, 1e-9);
}

// Every kernel, collective and transfer of a step has one span on every runner.
void expect_spans_of(const RoleProgram& role, const RankTrace& rank) {
    std::size_t kernels = 0, communication = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) {
            kernels += std::holds_alternative<Compute>(i.operation);
            communication += std::holds_alternative<Collective>(i.operation) ||
                             std::holds_alternative<Exchange>(i.operation);
        }
    std::size_t seen_kernels = 0, seen_communication = 0;
    for (const Span& span : rank.spans) {
        EXPECT_LE(span.start, span.end);
        seen_kernels += span.kind == Span::Kind::compute;
        seen_communication += span.kind == Span::Kind::communication;
    }
    EXPECT_EQ(seen_kernels, kernels);
    EXPECT_EQ(seen_communication, communication);
}

class Parity : public testing::TestWithParam<ParityCase> {};

TEST_P(Parity, MemoryTimesAndSpansAreThePlans) {
    const auto [runner, model, shape] = GetParam();
    for (const int zero : {0, 1, 2, 3}) {
        SCOPED_TRACE("ZeRO " + std::to_string(zero));
        const Scenario scenario = parity_scenario(model, kShapes[shape], zero);
        const Plan plan = test::lower_tiny(scenario);
        RunOptions options;
        options.record_spans = true;
        const Trace trace = make_runner(runner)->run(scenario, plan, options);
        for (const RankTrace& rank : trace.ranks) {
            expect_memory_of(plan.memory_of(rank.rank), rank);
            expect_parts_sum_to_the_step(rank);
            expect_spans_of(plan.program.roles[plan.program.role_of(rank.rank)], rank);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Runners, Parity,
                         testing::Combine(testing::Values(0, 1), testing::Values(0, 1, 2),
                                          testing::Range(std::size_t{0}, std::size(kShapes))),
                         parity_case_name);

}  // namespace
}  // namespace shardscope
